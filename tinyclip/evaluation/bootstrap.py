"""How sure a figure is, by drawing its items again (Efron 1979, percentile intervals).

Items that are not independent are drawn together: all drawings of one concept, all
captions of one picture (the cluster bootstrap: Davison and Hinkley 1997, §3.8).

Legend: N items, K clusters, D draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .interval import wilson

Floats = NDArray[np.float64]
DRAWS = 1000
SEED = 0  # the same figures have the same interval
HELD = 2_000_000  # numbers that are held at once
ENDS = (2.5, 97.5)


class Sample(Protocol):
    """A figure and the items that it was computed from."""

    @property
    def value(self) -> float: ...

    @property
    def clusters(self) -> int:
        """That are drawn."""

    @property
    def filled(self) -> int:
        """Clusters that hold one of its items."""

    def drawn(self, times_DK: Floats) -> Floats:
        """The figure, had each cluster been there so many times, (D,)."""


class Mean:
    """The mean of a value over items, which fall into clusters.

    Args:
        values_N: of the items; hits are 0 and 1.
        cluster_N: the cluster of each, from 0.
        clusters: how many there are; some may hold none of the items.
    """

    def __init__(
        self, values_N: Floats, cluster_N: NDArray[np.int64], clusters: int
    ) -> None:
        self.clusters = clusters
        self.value = float(np.mean(values_N))
        self._sums_K = np.bincount(cluster_N, values_N, clusters)
        self._counts_K = np.bincount(cluster_N, minlength=clusters).astype(np.float64)
        self.filled = int(np.count_nonzero(self._counts_K))

    def drawn(self, times_DK: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # a draw without an item has no mean
            return (times_DK @ self._sums_K) / (times_DK @ self._counts_K)


def draws(clusters: int) -> Iterator[Floats]:
    """How often each of so many clusters is drawn, some draws at a time, (D, K)."""
    random = np.random.default_rng(SEED)
    at_once = max(1, HELD // clusters)
    for start in range(0, DRAWS, at_once):
        count = min(at_once, DRAWS - start)
        drawn_DK = random.integers(0, clusters, (count, clusters))
        drawn_DK += clusters * np.arange(count)[:, None]
        times = np.bincount(drawn_DK.reshape(-1), minlength=count * clusters)
        yield times.reshape(count, clusters).astype(np.float64)


def redrawn(samples: Sequence[Sample]) -> list[Floats]:
    """Figures over the same clusters, drawn again together, each (D,): what makes the
    difference of two of them a paired one."""
    clusters = samples[0].clusters
    parts = [[sample.drawn(t_DK) for sample in samples] for t_DK in draws(clusters)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def ends(drawn_D: Floats) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of what is a number."""
    low, high = np.percentile(drawn_D[np.isfinite(drawn_D)], ENDS)
    return float(low), float(high)


def intervals(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """The 95 % interval of each of several figures over the same clusters.

    Where all draws agree (nothing was right, or all), the bootstrap knows nothing of
    what was not seen, and the interval is Wilson's over the clusters with items.
    """
    found = []
    for sample, drawn_D in zip(samples, redrawn(samples), strict=True):
        low, high = ends(drawn_D)
        if low == high:
            low, high = wilson(sample.value * sample.filled, sample.filled)
        found.append((low, high))
    return found


def paired(
    ours: Sample, theirs: Sample, floor: float = 0.0
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """The 95 % intervals of the difference and of the quotient of two figures on the
    same items, ours less and by theirs; None where no draw of it is a number.

    Args:
        floor: what both figures count from in the quotient.
    """
    ours_D, theirs_D = redrawn([ours, theirs])
    with np.errstate(divide="ignore", invalid="ignore"):
        compared = ours_D - theirs_D, (ours_D - floor) / (theirs_D - floor)
    change, share = (ends(c_D) if np.isfinite(c_D).any() else None for c_D in compared)
    return change, share
