"""Strategies through a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute
from tinyclip.training.strategies import strategies


def weights(run: RunDir) -> bytes:
    return (run.model / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", list(strategies))
def test_it_resumes_to_the_byte_in_either_phase_and_stays_out_of_the_student(
    one_stage: Callable[..., Recipe], tmp_path: Path, name: str
) -> None:
    sets = (f"stages[*].{p}.strategies={{{name}: {{}}}}" for p in ("learn", "distil"))
    recipe = one_stage(*sets, "stages[*].accumulate=2")
    whole = execute(Request(tmp_path / "whole", recipe))
    plain = execute(Request(tmp_path / "plain", one_stage("stages[*].accumulate=2")))
    assert weights(whole) != weights(plain)
    out, request, saved = tmp_path / "run", None, set()
    for question in (2, 3):  # after learn's third step, then in distil
        asked = iter(range(10**9))
        with pytest.raises(Interrupted):
            execute(
                request or Request(out, recipe),
                stop=lambda asked=asked, question=question: next(asked) >= question,
            )
        for path in out.glob("stages/*/checkpoints/*.safetensors"):
            saved.add(path.name.partition("-")[0])
            names = [key for key in load_file(path) if key.startswith("strategies.")]
            assert all(key.startswith(f"strategies.{name}.") for key in names) and names
        request = Request(out, resume=True)
    assert saved == {"learn", "distil"}
    run = execute(Request(out, resume=True))
    assert weights(run) == weights(whole)
    for path in out.glob("**/model/*.safetensors"):
        assert not [key for key in load_file(path) if "strateg" in key]
