"""Who teaches beside the teacher.

Legend: B batch, E a student's joint embedding, F the teacher's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import SHAPE, make_batch, make_phase  # type: ignore[import-not-found]

from tinyclip.model.clip import Features
from tinyclip.training.engine import Engine
from tinyclip.training.teacher.beside import Beside, Widened
from tinyclip.training.teacher.live import Teacher

STEPS = 2000


def named(*names: str) -> tuple[Teacher, ...]:
    return tuple(cast(Any, name) for name in names)


def test_nobody_is_beside_unless_asked_for() -> None:
    assert Beside().at(0) == ()


def test_assistants_are_left_out_at_the_rate_asked_for_and_others_never() -> None:
    beside = Beside(named("other"), named("a", "b"), 0.25, seed=3)
    at = [beside.at(step) for step in range(STEPS)]
    assert all(cast(Any, "other") in there for there in at)
    for name in named("a", "b"):
        share = sum(name in there for there in at) / STEPS
        assert share == pytest.approx(0.75, abs=0.04)
    both = sum(len(there) == 3 for there in at) / STEPS
    assert both == pytest.approx(0.75**2, abs=0.04)  # each by itself


def test_who_stays_follows_from_seed_and_step() -> None:
    def drawn(seed: int) -> list[Any]:
        beside = Beside((), named("a", "b"), 0.5, seed)
        return [beside.at(step) for step in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_chance_of_0_leaves_nobody_out() -> None:
    beside = Beside((), named("a", "b"), 0.0, 1)
    assert all(len(beside.at(step)) == 2 for step in range(200))


class Fixed:
    """A teacher whose features are known."""

    def __init__(self) -> None:
        image_BE, text_BE = (torch.randn(4, 3).double() for _ in range(2))
        self.found = Features(image_BE, text_BE, torch.tensor(2.0))

    def features(self, _batch: Any) -> Features:
        return self.found


def test_a_widened_student_has_each_channel_in_its_place_and_the_same_products() -> (
    None
):
    fixed = Fixed()
    wide = Widened(fixed, (1, 4, 6), 7).features(cast(Any, None))
    own = fixed.found
    assert wide.image_BE.shape == (4, 7)
    assert torch.equal(wide.text_BE[:, [1, 4, 6]], own.text_BE)
    assert not wide.image_BE[:, [0, 2, 3, 5]].any()
    products = wide.image_BE @ wide.text_BE.T
    assert torch.allclose(products, own.image_BE @ own.text_BE.T, atol=1e-12)
    assert wide.scale is own.scale


def test_a_phase_asks_those_of_the_step() -> None:
    phase = make_phase("distil+several", SHAPE, Engine())
    batch = make_batch(SHAPE, 4, 0)
    counts = {len(phase.teacher_features(batch, step)) for step in range(20)}
    assert counts == {2, 3}
    assert len(make_phase("distil", SHAPE, Engine()).teacher_features(batch, 0)) == 1
