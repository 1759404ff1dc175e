"""Pictures turned by quarters."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import (  # type: ignore[import-not-found]
    SHAPE,
    make_batch,
    phase_of,
    random_clip,
)

from tinyclip.training.engine import Engine
from tinyclip.training.step import backward


def turned(pixels: torch.Tensor, quarter: int) -> torch.Tensor:
    """Picture by picture, channel by channel."""
    rows = [
        [np.rot90(channel.numpy(), quarter).copy() for channel in picture]
        for picture in pixels
    ]
    return torch.tensor(np.array(rows)).double()


@pytest.mark.parametrize("kind", ["learn", "distil"])
def test_a_phase_gives_features_of_all_rotations_of_both_models(kind: str) -> None:
    phase = phase_of(kind, SHAPE, Engine(), {"hsakd": 1.0})
    batch = make_batch(SHAPE, 4, 0)
    mine = phase.features(batch, 0).more["hsakd.rotated"]
    (theirs,) = phase.teacher_features(batch, 0)
    assert mine.shape == theirs.more["hsakd.rotated"].shape == (4, 3, 6)
    gates, teacher = phase.gates(0), random_clip(SHAPE, 1)
    for place, quarter in enumerate((1, 2, 3)):
        pixels = turned(batch.pixels, quarter)
        own = phase.model.encode_image(pixels, normalize=True, gates=gates)
        torch.testing.assert_close(mine[:, place], own)
        other = teacher.encode_image(pixels, normalize=True)
        torch.testing.assert_close(theirs.more["hsakd.rotated"][:, place], other)
    assert mine.requires_grad and not theirs.more["hsakd.rotated"].requires_grad


def test_heads_of_both_models_learn_and_the_teacher_stays() -> None:
    phase = phase_of("distil", SHAPE, Engine(), {"hsakd": 1.0})
    before = {name: value.clone() for name, value in phase.tensors().items()}
    backward(phase, make_batch(SHAPE, 6, 0), 0, phase.engine, 2)
    assert phase.engine.update(phase.optimizer)
    now = phase.tensors()
    for name in ("student", "teacher"):
        key = f"objectives.hsakd.{name}.weight"
        assert not torch.equal(now[key], before[key])
    teacher = phase.teacher.model.state_dict()
    for name, value in random_clip(SHAPE, 1).state_dict().items():
        assert torch.equal(teacher[name], value)
