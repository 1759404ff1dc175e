"""Intervals by drawing items again: against SciPy's, and what clusters change."""

from __future__ import annotations

import numpy as np
import pytest

from tinyclip.evaluation import bootstrap as room
from tinyclip.evaluation.bootstrap import Mean, intervals, paired

stats = pytest.importorskip("scipy.stats")


@pytest.fixture
def hits() -> np.ndarray:
    return (np.random.default_rng(3).random(400) < 0.3).astype(float)


def alone(values: np.ndarray) -> Mean:
    return Mean(values, np.arange(len(values)), len(values))


def test_the_interval_is_scipy_s_percentile_bootstrap(hits) -> None:
    (ours,) = intervals([alone(hits)])
    theirs = stats.bootstrap(
        (hits,), np.mean, n_resamples=5_000, method="percentile", rng=0
    ).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.006)


def test_copies_of_an_item_say_no_more_than_the_item(hits) -> None:
    copied = Mean(np.repeat(hits, 9), np.repeat(np.arange(400), 9), 400)
    assert copied.value == pytest.approx(hits.mean())
    assert intervals([copied])[0] == pytest.approx(intervals([alone(hits)])[0])


def test_items_of_clusters_count_each(hits) -> None:
    """Clusters of other sizes: the mean is over items, as SciPy draws them."""
    cluster = np.sort(np.random.default_rng(1).integers(0, 60, 400))
    sums, counts = np.bincount(cluster, hits), np.bincount(cluster)
    ours = intervals([Mean(hits, cluster, 60)])[0]
    theirs = stats.bootstrap(
        (sums, counts),
        lambda s, c, axis=-1: s.sum(axis) / c.sum(axis),
        paired=True,
        n_resamples=5_000,
        method="percentile",
        rng=0,
    ).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.008)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_nothing_differs_the_interval_is_wilson_s_over_clusters(value) -> None:
    """60 of 60 clusters, two items each: as 60 of 60 (Wilson: 1/(1 + z²/n))."""
    items = Mean(np.full(120, value), np.repeat(np.arange(60), 2), 60)
    low, high = intervals([items])[0]
    bound = 1 / (1 + 1.959963984540054**2 / 60)
    assert (low, high) == pytest.approx((bound, 1) if value else (0, 1 - bound))


def test_the_same_items_have_the_same_interval(hits) -> None:
    assert intervals([alone(hits)]) == intervals([alone(hits), alone(1 - hits)])[:1]


def test_parts_of_the_draws_are_no_other_draws(hits, monkeypatch) -> None:
    whole = room.redrawn([alone(hits)])[0]
    monkeypatch.setattr(room, "HELD", 3 * 400)
    assert np.array_equal(room.redrawn([alone(hits)])[0], whole)


def test_a_difference_is_of_pairs(hits) -> None:
    """Two models that differ on 20 of 400 items: far surer than two of other items."""
    better = hits.copy()
    better[np.flatnonzero(hits == 0)[:20]] = 1
    found, _ = paired(alone(better), alone(hits))
    theirs = stats.bootstrap(
        (better - hits,), np.mean, n_resamples=5_000, method="percentile", rng=0
    ).confidence_interval
    assert found == pytest.approx(tuple(theirs), abs=0.003)
    assert found[0] > 0


def test_what_is_kept_is_a_quotient_of_pairs(hits) -> None:
    worse = hits.copy()
    worse[np.flatnonzero(hits)[::4]] = 0
    _, found = paired(alone(worse), alone(hits))
    theirs = stats.bootstrap(
        (worse, hits),
        lambda a, b, axis=-1: a.mean(axis) / b.mean(axis),
        paired=True,
        n_resamples=5_000,
        method="percentile",
        rng=0,
    ).confidence_interval
    assert found == pytest.approx(tuple(theirs), abs=0.01)


def test_a_comparison_that_is_never_a_number_has_no_interval(hits) -> None:
    nothing = alone(np.zeros(400))
    assert paired(nothing, nothing) == ((0, 0), None)
