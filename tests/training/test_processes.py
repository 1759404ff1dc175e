"""Several processes, or several pieces, are one batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parent))

from processes import SHAPE, make_phase, train  # type: ignore[import-not-found]

from tinyclip.errors import UserError
from tinyclip.losses import objectives
from tinyclip.training.engine import Engine
from tinyclip.training.launch import (
    asked_of_accelerate,
    refuse_lost_processes,
    refuse_sharding,
)
from tinyclip.training.strategies import strategies

KINDS = ["learn", "distil", "learn+projected", "distil+projected", "distil+several"]
WAYS = [f"distil+{name}" for name in strategies]
BESIDE = [
    *("learn+unpaired+ickd+intra", "distil+unpaired+ickd+intra"),
    "distil+unpaired+several",
]
OTHERS = sorted(set(objectives) - {"mimic", "contrastive", "feature", "sigmoid"})
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", [*KINDS, *WAYS])
@pytest.mark.parametrize("pieces", [4, 3])
def test_a_batch_in_pieces_is_the_batch(kind: str, pieces: int) -> None:
    engine = Engine()
    whole, split = (make_phase(kind, SHAPE, engine) for _ in range(2))
    losses = train(whole, engine), train(split, engine, pieces)
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    mine, theirs = whole.tensors(), split.tensors()
    for name, value in mine.items():
        assert torch.allclose(value, theirs[name], rtol=0, atol=1e-6), name


@pytest.mark.parametrize("name", OTHERS)
def test_every_objective_sees_the_batch_whole(name: str) -> None:
    test_a_batch_in_pieces_is_the_batch(f"distil+{name}", 4)


@pytest.mark.parametrize("kind", BESIDE)
@pytest.mark.parametrize("pieces", [4, 3, 8])  # at 8 some hold no picture
def test_what_has_no_pair_goes_in_pieces_too(kind: str, pieces: int) -> None:
    test_a_batch_in_pieces_is_the_batch(kind, pieces)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        *KINDS,
        *BESIDE,
        "+".join(["distil", *strategies]),
        "+".join(["distil", *OTHERS]),
    ],
)
def test_two_processes_are_one_with_the_same_batch(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "state"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = str(Path(__file__).with_name("processes.py"))
    subprocess.run(
        [sys.executable, *launch, script, kind, str(out)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
    )
    phase = make_phase(kind, SHAPE, Engine())
    losses = train(phase, Engine())
    alone = {**phase.tensors(), "losses": torch.tensor(losses, dtype=torch.float64)}
    for rank in range(2):
        tensors = load_file(f"{out}-{rank}.safetensors")
        assert set(tensors) == set(alone)
        for name, value in alone.items():
            assert torch.allclose(tensors[name], value, rtol=0, atol=1e-9), name


def test_processes_that_do_not_know_each_other_are_refused() -> None:
    with pytest.raises(UserError, match="2 processes were launched and 1 found"):
        refuse_lost_processes(1, {"WORLD_SIZE": "2"}, [])


def test_an_accelerate_launch_that_came_up_alone_is_refused() -> None:
    words = ["python", "/bin/accelerate", "launch", "--cpu", "--num_processes", "2"]
    with pytest.raises(UserError, match="asked for 2 processes and started 1"):
        refuse_lost_processes(1, {}, [*words, "-m", "tinyclip"])
    refuse_lost_processes(2, {"WORLD_SIZE": "2"}, words)


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_a_model_split_among_processes_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is not supported yet"):
        refuse_sharding({f"ACCELERATE_USE_{name}": "true"})


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("python -m pytest --num_processes 4", 1),
        ("accelerate launch --num_processes=3 -m tinyclip", 3),
        ("accelerate launch --num-processes 3 -m tinyclip", 3),
        ("accelerate launch -m tinyclip", 1),
        ("accelerate launch --num_processes", 1),
        ("", 1),
    ],
)
def test_what_a_command_line_asks_accelerate_for(line: str, asked: int) -> None:
    assert asked_of_accelerate(line.split()) == asked
