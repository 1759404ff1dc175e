"""Two processes with half of the pairs each do what one with all of them does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tinyclip.training.engine import Engine

sys.path.insert(0, str(Path(__file__).resolve().parent))

from in_processes import closed_form  # type: ignore[import-not-found]  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def launched(*words: str) -> None:
    subprocess.run(
        [sys.executable, *LAUNCH, *words],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=600,
    )


def test_the_closed_form_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    launched(str(Path(__file__).with_name("in_processes.py")), str(tmp_path / "out"))
    read: list[dict[str, Any]] = []
    keeps = []
    for rank in (0, 1):
        with safe_open(tmp_path / f"out-{rank}.safetensors", "pt") as file:
            read.append({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            keeps.append(file.metadata()["keep"])
    alone, keep = closed_form(Engine())
    assert keeps == [keep, keep]
    assert set(alone) == set(read[0])
    for name, value in alone.items():
        # ranks agree to the bit in what they go on with
        if not name.startswith(("score", "spectrum")):
            assert torch.equal(read[0][name], read[1][name]), name
        torch.testing.assert_close(read[0][name], value, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_a_launch_of_two_processes_cuts_and_distils(tmp_path: Path) -> None:
    sets = (
        "teacher=builtin:pico",
        "stages[0].rotate.samples=64",
        "stages[0].allocate={samples: 64, judged: 32, tries: 1}",
        "stages[0].solve.samples=64",
        "stages[0].phases=[rotate, allocate, inherit, solve, distil]",
        "stages[0].distil={steps: 2, optim: {warmup: 1}}",
        "stages[0].batch=16",
        "evaluate=false",
    )
    words = [word for text in sets for word in ("--set", text)]
    out = tmp_path / "run"
    launched("-m", "tinyclip", "compress", "cut", "--out", str(out), *words)
    assert (out / "model" / "model.safetensors").exists()
