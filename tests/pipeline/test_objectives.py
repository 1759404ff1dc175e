"""An objective with parameters of its own, through a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from learnable import registered  # type: ignore[import-not-found]

from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

ASKED = "{mimic: 1.0, projected: {weight: 0.5, temperature: 0.2}}"
WEIGHT = "objectives.projected.projection.weight"


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture
def recipe(pico_recipe: Callable[..., Recipe]) -> Recipe:
    losses = (f"stages[*].{phase}.losses={ASKED}" for phase in ("learn", "distil"))
    return pico_recipe(*losses, "stages[*].accumulate=2")


def stop_at(question: int) -> Callable[[], bool]:
    asked = iter(range(10**9))
    return lambda: next(asked) >= question


def contents(run: RunDir) -> list[bytes]:
    folders = run.stages(run.recipe())
    return [(folder.model / "model.safetensors").read_bytes() for folder in folders]


def test_it_resumes_to_the_byte_in_either_phase_and_stays_out_of_the_student(
    recipe: Recipe, tmp_path: Path
) -> None:
    whole = execute(Request(tmp_path / "whole", recipe))
    out, request, saved = tmp_path / "run", None, set()
    for question in (2, 3):  # after learn's third step, then in distil
        request = request or Request(out, recipe)
        with pytest.raises(Interrupted):
            execute(request, stop=stop_at(question))
        for path in out.glob("stages/*/checkpoints/*.safetensors"):
            assert WEIGHT in load_file(path)
            saved.add(path.name.partition("-")[0])
        request = Request(out, resume=True)
    assert saved == {"learn", "distil"}
    run = execute(Request(out, resume=True))
    assert contents(run) == contents(whole)
    records = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in one]
        for one in (run.metrics.records(), whole.metrics.records())
    ]
    assert records[0] == records[1]
    assert all({"projected", "projected.norm"} <= set(r["parts"]) for r in records[0])
    for path in out.glob("**/model/*.safetensors"):
        assert not [name for name in load_file(path) if "object" in name]
