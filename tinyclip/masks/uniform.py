"""How many units each site keeps when the student must be a stock configuration."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from ..shapes import TOWERS
from .budget import check_reachable, unreachable
from .goal import Array, Counts, Goal, pick
from .ragged import AIM, FINE, nearest_counts
from .stock import FFN, Stock, counts_of, stocks

Numbers = dict[str, tuple[Array, Array]]  # heads and ffn units a layer, by tower


def uniform_counts(goal: Goal, logits: Mapping[str, Array]) -> dict[str, int]:
    """Units in all that every site keeps: all layers alike, heads that fill embed, an
    attention pool like the layers.

    The head numbers of both towers are tried in full; the ffn widths follow from the
    budget, in the proportion that the gates want.

    Raises:
        UserError: no such shape comes within 0.5 % of the goal, or a site that is not
            gated is not uniform.
    """
    check_reachable(goal)
    found = stocks(goal)
    wanted = nearest_counts(goal, logits)
    pairs = np.array(
        list(itertools.product(*(found[name].heads for name in TOWERS))), dtype=np.int64
    )
    heads = {name: pairs[:, column, None] for column, name in enumerate(TOWERS)}
    grid = _near(goal, heads, found, wanted)
    chosen = pick(goal, grid, _deviation(goal, grid, wanted), AIM)
    if chosen is not None:
        return chosen
    grid = _every(goal, heads, found)
    chosen = pick(goal, grid, _deviation(goal, grid, wanted), AIM)
    if chosen is None:
        raise unreachable(goal, np.asarray(goal.count(grid), dtype=np.float64))
    return chosen


def _deviation(goal: Goal, grid: Counts, wanted: Counts) -> Array:
    """How far the candidates are from what the gates want, in shares of the sites."""
    full = goal.full()
    return np.asarray(sum(abs(grid[n] - wanted[n]) / max(1, full[n]) for n in full))


def _free(goal: Goal, found: Mapping[str, Stock]) -> list[str]:
    """The towers whose ffn widths may move."""
    return [
        name
        for name in TOWERS
        if f"{name}_{FFN}" in goal.gated and found[name].ffn[1] > 0
    ]


def _price(goal: Goal, numbers: Numbers, name: str) -> Array:
    """What one more ffn unit in every layer of a tower costs."""
    heads, ffn = numbers[name]
    more = {**numbers, name: (heads, ffn + 1)}
    return np.asarray(
        goal.count(counts_of(goal, more)) - goal.count(counts_of(goal, numbers))
    )


def _start(
    goal: Goal, heads: Mapping[str, Array], found: Mapping[str, Stock]
) -> Numbers:
    """No ffn unit where the widths may move, all of them where not."""
    free = _free(goal, found)
    return {
        name: (heads[name], np.array(0 if name in free else found[name].ffn[1]))
        for name in TOWERS
    }


def _near(
    goal: Goal,
    heads: Mapping[str, Array],
    found: Mapping[str, Stock],
    wanted: Counts,
) -> Counts:
    """The ffn widths that meet the goal near the proportion that the gates want."""
    numbers, free = _start(goal, heads, found), _free(goal, found)
    for place, name in enumerate(free):
        ffn, step = f"{name}_{FFN}", goal.step(f"{name}_{FFN}")
        missing = goal.size - goal.count(counts_of(goal, numbers))
        depth = {n: len(goal.shape.towers()[n].blocks) for n in free}
        pull = sum(
            _price(goal, numbers, n) / depth[n] * max(1, wanted[f"{n}_{FFN}"])
            for n in free[place:]
        )
        units = missing * max(1, wanted[ffn]) / pull / depth[name]
        width = step * np.rint(units / step).astype(np.int64)
        if place < len(free) - 1:
            width = width + step * np.arange(-FINE, FINE + 1)
        numbers[name] = (heads[name], np.clip(width, *found[name].ffn))
    return counts_of(goal, numbers)


def _every(
    goal: Goal, heads: Mapping[str, Array], found: Mapping[str, Stock]
) -> Counts:
    """Every stock shape whose last ffn width is one of the two that enclose the goal:
    all that can come near it."""
    numbers = {
        name: (heads_P[..., None], ffn)
        for name, (heads_P, ffn) in _start(goal, heads, found).items()
    }
    free = _free(goal, found)
    free.sort(key=lambda name: found[name].ffn[1])  # the fewest are tried
    for name in free[:-1]:
        least, most = found[name].ffn
        tried = np.arange(least, most + 1, goal.step(f"{name}_{FFN}"))
        numbers[name] = (numbers[name][0], tried[:, None])
    for name in free[-1:]:
        step = goal.step(f"{name}_{FFN}")
        missing = goal.size - goal.count(counts_of(goal, numbers))
        price = np.maximum(_price(goal, numbers, name), 1)
        whole = np.floor(missing / (price * step)).astype(np.int64)
        width = np.clip(step * (whole + np.arange(2)), *found[name].ffn)
        numbers[name] = (numbers[name][0], width)
    return counts_of(goal, numbers)
