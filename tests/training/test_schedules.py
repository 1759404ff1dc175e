"""The course of the learning rate."""

from __future__ import annotations

import pytest

from tinyclip.config.schema import Optim
from tinyclip.training.schedules import lr_share


def test_warm_up_climbs_in_equal_steps() -> None:
    shares = [lr_share(step, 100, Optim(warmup=4)) for step in range(4)]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_the_cosine_starts_whole_and_ends_at_its_final_share() -> None:
    optim = Optim(warmup=0, final=0.1)
    assert lr_share(0, 1000, optim) == pytest.approx(1.0)
    assert lr_share(500, 1000, optim) == pytest.approx(0.55)
    assert lr_share(999, 1000, optim) == pytest.approx(0.1, abs=1e-4)


def test_constant_stays() -> None:
    optim = Optim(warmup=2, schedule="constant")
    assert [lr_share(step, 9, optim) for step in (2, 5, 8)] == [1.0, 1.0, 1.0]


def test_a_warm_up_longer_than_the_phase_still_reaches_its_top() -> None:
    assert lr_share(3, 4, Optim(warmup=100)) == pytest.approx(1.0)
