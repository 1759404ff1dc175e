"""How many units each site keeps when the student must be a stock configuration."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from ..shapes import TOWERS
from ..sites import FINEST
from .budget import check_reachable, unreachable
from .goal import Array, Counts, Goal, pick
from .ragged import AIM, FINE, nearest_counts
from .stock import Stock, counts_of, stocks

Numbers = dict[str, tuple[Array, Array]]  # units a layer at the two sites of BLOCK


def uniform_counts(goal: Goal, logits: Mapping[str, Array]) -> dict[str, int]:
    """Units in all that every site keeps: all layers alike, units that fill the width,
    an attention pool like the layers.

    The numbers of units that fill the width are tried in full for both towers; the
    finest units follow from the budget, in the proportion that the gates want.

    Raises:
        UserError: no such shape comes within 0.5 % of the goal, or a site that is not
            gated is not uniform.
    """
    check_reachable(goal)
    stock = stocks(goal)
    expected = nearest_counts(goal, logits)
    pairs = np.array(
        list(itertools.product(*(stock[name].filling for name in TOWERS))),
        dtype=np.int64,
    )
    filling = {name: pairs[:, column, None] for column, name in enumerate(TOWERS)}
    grid = _near_proportion(goal, filling, stock, expected)
    chosen = pick(goal, grid, _deviation(goal, grid, expected), AIM)
    if chosen is not None:
        return chosen
    grid = _around_goal(goal, filling, stock)
    chosen = pick(goal, grid, _deviation(goal, grid, expected), AIM)
    if chosen is None:
        raise unreachable(goal, np.asarray(goal.count(grid), dtype=np.float64))
    return chosen


def _deviation(goal: Goal, grid: Counts, expected: Counts) -> Array:
    """How far the candidates are from what the gates want, in shares of the sites."""
    full = goal.full()
    # a pool that stays whole is no choice
    moving = [name for name in full if name in grid]
    return np.asarray(sum(abs(grid[n] - expected[n]) / max(1, full[n]) for n in moving))


def _free(goal: Goal, stock: Mapping[str, Stock]) -> list[str]:
    """The towers whose numbers of the finest units may move."""
    return [
        name
        for name in TOWERS
        if f"{name}_{FINEST.name}" in goal.gated and stock[name].finest[1] > 0
    ]


def _price(goal: Goal, numbers: Numbers, name: str) -> Array:
    """What one more of the finest units in every layer of a tower costs."""
    filling, finest = numbers[name]
    more = {**numbers, name: (filling, finest + 1)}
    return np.asarray(
        goal.count(counts_of(goal, more)) - goal.count(counts_of(goal, numbers))
    )


def _start(
    goal: Goal, filling: Mapping[str, Array], stock: Mapping[str, Stock]
) -> Numbers:
    """None of the finest units where they may move, all of them where not."""
    free = _free(goal, stock)
    return {
        name: (filling[name], np.array(0 if name in free else stock[name].finest[1]))
        for name in TOWERS
    }


def _near_proportion(
    goal: Goal,
    filling: Mapping[str, Array],
    stock: Mapping[str, Stock],
    expected: Counts,
) -> Counts:
    """The numbers of the finest units that meet the goal near the proportion that the
    gates want."""
    numbers, free = _start(goal, filling, stock), _free(goal, stock)
    for place, name in enumerate(free):
        site, step = f"{name}_{FINEST.name}", goal.step(f"{name}_{FINEST.name}")
        missing = goal.size - goal.count(counts_of(goal, numbers))
        depth = {n: len(goal.shape.towers()[n].blocks) for n in free}
        pull = sum(
            _price(goal, numbers, n) / depth[n] * max(1, expected[f"{n}_{FINEST.name}"])
            for n in free[place:]
        )
        units = missing * max(1, expected[site]) / pull / depth[name]
        width = step * np.rint(units / step).astype(np.int64)
        if place < len(free) - 1:
            width = width + step * np.arange(-FINE, FINE + 1)
        numbers[name] = (filling[name], np.clip(width, *stock[name].finest))
    return counts_of(goal, numbers)


def _around_goal(
    goal: Goal, filling: Mapping[str, Array], stock: Mapping[str, Stock]
) -> Counts:
    """Every stock shape whose last number of the finest units is one of the two that
    enclose the goal: all that can come near it."""
    numbers = {
        name: (filling_P[..., None], finest)
        for name, (filling_P, finest) in _start(goal, filling, stock).items()
    }
    free = _free(goal, stock)
    free.sort(key=lambda name: stock[name].finest[1])  # the fewest are tried
    for name in free[:-1]:
        least, most = stock[name].finest
        tried = np.arange(least, most + 1, goal.step(f"{name}_{FINEST.name}"))
        numbers[name] = (numbers[name][0], tried[:, None])
    for name in free[-1:]:
        step = goal.step(f"{name}_{FINEST.name}")
        missing = goal.size - goal.count(counts_of(goal, numbers))
        price = np.maximum(_price(goal, numbers, name), 1)
        whole = np.floor(missing / (price * step)).astype(np.int64)
        width = np.clip(step * (whole + np.arange(2)), *stock[name].finest)
        numbers[name] = (numbers[name][0], width)
    return counts_of(goal, numbers)
