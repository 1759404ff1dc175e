"""The search keeps what is judged better, and is never worse than its first keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from towers import (  # type: ignore[import-not-found]
    DRAWN,
    noisy,
    plain_shape,
    some_pairs,
)

from tinyclip.goal import SizeGoal
from tinyclip.inherit.carried import carried
from tinyclip.inherit.rotate import rotate
from tinyclip.inherit.search import SHARES, Curve, Search, Verdict
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import ClipKeep
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape

SITES = ("dims", "ffn", "embed")
ALONE = len(SHARES) * len(SITES)  # students of which one site is cut


@pytest.fixture(scope="module")
def turned() -> Clip:
    block = BlockShape(heads=2, ffn=60)
    shape = plain_shape(width=16, blocks=(block, block))
    return rotate(noisy(shape), [some_pairs(24)]).model


class Recorded:
    """A judge by a rule, that remembers whom it judged."""

    def __init__(self, wish: float) -> None:
        self.wish, self.seen = wish, list[tuple[Clip, float]]()

    def __call__(self, student: Clip) -> Verdict:
        """The nearer the image tower's width to the wish the better."""
        gap = abs(student.shape.image.width - self.wish) / 16 + 1e-3
        ffn = sum(block.ffn for block in student.shape.image.blocks)
        self.seen.append((student, gap + ffn * 1e-6))
        return Verdict(gap, 0.1, gap + ffn * 1e-6)


def search_of(model: Clip, judge: Recorded, told: list[int] | None = None) -> Search:
    def make(keep: ClipKeep) -> Clip:
        return inherit(model, keep)

    scores = carried(model, [some_pairs(24)])
    watch = (told if told is not None else []).append
    return Search(model, scores, make, judge, SITES, watch)


@pytest.mark.parametrize("wish", [8, 15])
def test_it_keeps_the_best_that_it_judged(turned: Clip, wish: float) -> None:
    judge = Recorded(wish)
    goal = SizeGoal(0.6).against(turned.shape)
    keep, verdict = search_of(turned, judge).best(goal, tries=8)
    tried = [gap for _, gap in judge.seen[ALONE:]]
    assert verdict.both == min(tried) <= tried[0]
    size = goal.size(keep.cut(turned.shape)) / goal.size(turned.shape)
    assert size == pytest.approx(0.6, rel=0.005)


def test_without_tries_the_first_is_kept(turned: Clip) -> None:
    judge = Recorded(8)
    told: list[int] = []
    search = search_of(turned, judge, told)
    keep, _ = search.best(SizeGoal(0.6).against(turned.shape), tries=0)
    assert len(judge.seen) == search.judged == ALONE + 1
    assert told == list(range(1, ALONE + 2))
    assert judge.seen[-1][0].shape == keep.cut(turned.shape)


def test_a_second_size_measures_no_curves_again(turned: Clip) -> None:
    judge = Recorded(8)
    search = search_of(turned, judge)
    search.best(SizeGoal(0.6).against(turned.shape), tries=0)
    search.best(SizeGoal(0.7).against(turned.shape), tries=0)
    assert search.judged == ALONE + 2


def test_no_more_tries_than_asked_for(turned: Clip) -> None:
    judge = Recorded(12)
    search = search_of(turned, judge)
    search.best(SizeGoal(0.6).against(turned.shape), tries=5)
    assert search.judged <= ALONE + 1 + 5


def test_a_tower_that_stays_is_cut_at_no_site(turned: Clip) -> None:
    judge = Recorded(8)
    goal = SizeGoal(0.8, towers=("image",)).against(turned.shape)
    keep, _ = search_of(turned, judge).best(goal, tries=2)
    assert keep.cut(turned.shape).text == turned.shape.text
    assert all(student.shape.text == turned.shape.text for student, _ in judge.seen)


def test_what_was_measured_is_told(turned: Clip) -> None:
    search = search_of(turned, Recorded(8))
    _, verdict = search.best(SizeGoal(0.6).against(turned.shape), tries=1)
    told = search.told(verdict)
    assert set(told["curves"]) == {f"{t}_{s}" for t in ("image", "text") for s in SITES}
    assert told["verdict"] == {
        "image": verdict.image,
        "text": verdict.text,
        "both": verdict.both,
    }
    for points in told["curves"].values():
        assert points == tuple(sorted(points))


# curves


@DRAWN
@given(power=st.floats(0.3, 5), scale=st.floats(1e-3, 1e3), at=st.floats(0.01, 3))
def test_the_slope_of_a_power_is_its_derivative(
    power: float, scale: float, at: float
) -> None:
    xs = (0.05, 0.4, 1.5)
    curve = Curve(tuple((x, scale * x**power) for x in xs))
    assert curve.slope(at) == pytest.approx(scale * power * at ** (power - 1), rel=1e-6)


def test_between_points_the_slope_is_that_of_the_line_in_logarithms() -> None:
    curve = Curve(((0.1, 1.0), (1.0, 2.0), (10.0, 20.0)))
    assert curve.slope(3.0) == pytest.approx(2.0)
    low = math.log10(2)
    assert curve.slope(0.5) == pytest.approx(low * 2 * 0.5**low / 0.5)


def test_far_beyond_the_ends_a_slope_stays_finite_and_positive() -> None:
    curve = Curve(((0.1, 1.0), (1.0, 0.5)))  # noise: less lost, more error
    for at in (0.0, 1e-300, 1e300):
        assert 0 < curve.slope(at) < math.inf


@pytest.mark.parametrize("points", [(), ((0.5, 0.1),)])
def test_a_curve_of_too_few_points_weighs_like_the_others(
    points: tuple[tuple[float, float], ...],
) -> None:
    assert Curve(points).slope(0.3) == 1.0


def test_two_points_in_one_place_do_no_harm() -> None:
    slope = Curve(((0.5, 0.1), (0.5, 0.2))).slope(0.5)
    assert np.isfinite(slope) and slope > 0


def test_nothing_that_is_lost_is_no_point_of_a_curve(turned: Clip) -> None:
    search = search_of(turned, Recorded(8))
    search.scores = {name: torch.zeros_like(s) for name, s in search.scores.items()}
    search.best(SizeGoal(0.6).against(turned.shape), tries=0)
    assert all(curve.points == () for curve in search.curves.values())
