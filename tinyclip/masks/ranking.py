"""Which units of a site stay, once it is known how many.

Legend: U units of one tower and site (those of all layers one after the other).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..keep import Keep

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """How the units of one tower and site compare.

    Args:
        score_U: what they are ranked by; more stays longer.
        logit_U: of the probability that each is open; their sum is how many stay.
        scale_U: gate value of each if it stays, or None for 1.
    """

    score_U: Array
    logit_U: Array
    scale_U: Array | None = None


def within(ranking: Ranking, units: Sequence[int], left: Sequence[int]) -> Ranking:
    """The ranking of the units that are left when whole layers went.

    Args:
        units: of each layer.
        left: likewise, 0 where the layer went.
    """
    stays_U = np.repeat(np.asarray(left, dtype=np.int64) > 0, units)
    scale_U = ranking.scale_U
    return Ranking(
        ranking.score_U[stays_U],
        ranking.logit_U[stays_U],
        None if scale_U is None else scale_U[stays_U],
    )


def ranked(score_U: Array, units: Sequence[int]) -> NDArray[np.int64]:
    """Indices from best to worst over all layers of a site.

    Ties go to the lower place inside a layer, then to the lower layer, so that equal
    scores empty all layers alike rather than the last ones first.
    """
    layer_U = np.repeat(np.arange(len(units)), units)
    place_U = np.concatenate([np.arange(n) / max(1, n) for n in units] or [np.empty(0)])
    return np.lexsort((layer_U, place_U, -score_U))


def split_keep(
    ranking: Ranking, units: Sequence[int], count: int, even: bool, step: int = 1
) -> tuple[Keep, ...]:
    """The best `count` units of a site, one Keep a layer.

    Args:
        even: the same number in every layer, the best of each.
        step: every layer keeps a multiple of it, and `count` is one. The units of a
            layer leave in teams of so many, the worst first; the teams with the highest
            sums stay, which no other choice of multiples beats in the sum of scores.
    """
    layers = np.split(ranking.score_U, np.cumsum(units)[:-1]) if len(units) else []
    orders = [np.argsort(-score_L, kind="stable") for score_L in layers]
    if even:
        numbers = [count // len(units)] * len(units) if len(units) else []
    elif step == 1:
        first = ranked(ranking.score_U, units)[:count]
        layer_U = np.repeat(np.arange(len(units)), units)
        numbers = np.bincount(layer_U[first], minlength=len(units)).tolist()
    else:
        numbers = _in_teams(layers, orders, count, step)
    keeps, start = [], 0
    for order, number, total in zip(orders, numbers, units, strict=True):
        kept = np.sort(order[:number])
        scale = None
        if ranking.scale_U is not None:
            scale = tuple(ranking.scale_U[start + kept].tolist())
        keeps.append(Keep(tuple(kept.tolist()), total, scale))
        start += total
    return tuple(keeps)


def _in_teams(
    layers: Sequence[Array], orders: Sequence[NDArray[Any]], count: int, step: int
) -> list[int]:
    """How many units each layer keeps, in multiples of `step`."""
    teams = [len(score_L) // step for score_L in layers]
    sums = [
        score_L[order[: number * step]].reshape(number, step).sum(1)
        for score_L, order, number in zip(layers, orders, teams, strict=True)
    ]
    # sums fall inside a layer, so the best ones of all layers are the first of each
    first = ranked(np.concatenate(sums), teams)[: count // step]
    layer_T = np.repeat(np.arange(len(teams)), teams)
    return [int(n) * step for n in np.bincount(layer_T[first], minlength=len(teams))]
