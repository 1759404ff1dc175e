"""How many units each site keeps, so that the size asked for is the size given (law 2).

First the numbers that the gates expect, corrected as little as meets the budget; where
the units are too coarse for that, every number within a growing reach of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from .budget import check_reachable, unreachable
from .goal import Array, Counts, Goal, pick

AIM = 0.0005  # of the goal: taken before the smallest correction is looked for
REACH = 2  # steps around the expectation that heads and embed may move
FINE = 24  # steps of ffn that are tried around the even split of what is missing
MANY = 2_000_000  # candidates that are looked at in one go


def ragged_counts(goal: Goal, logits: Mapping[str, Array]) -> dict[str, int]:
    """Units in all that every site keeps.

    Args:
        logits: of the open probability of every unit, by name of the gated site.

    Raises:
        UserError: no choice of units comes within 0.5 % of the goal.
    """
    check_reachable(goal)
    base = nearest_counts(goal, logits)
    coarse = [name for name in goal.gated if name not in goal.fine]
    steps = range(-REACH, REACH + 1)
    moves = np.array(list(itertools.product(steps, repeat=len(coarse))), dtype=np.int64)
    moves = moves.reshape(len(moves), len(coarse), 1)
    grid: Counts = dict(base)
    for column, name in enumerate(coarse):
        moved = base[name] + moves[:, column] * goal.step(name)
        grid[name] = np.clip(moved, goal.floor(name), goal.most(name))
    _fill(goal, grid)
    grid = dict(zip(grid, np.broadcast_arrays(*grid.values()), strict=True))
    chosen = pick(goal, grid, _deviation(goal, grid, base), AIM)
    return _search(goal, base) if chosen is None else chosen


def expected_counts(goal: Goal, logits: Mapping[str, Array], shift: float) -> Counts:
    """The rounded expectation of every site, all gates opened by the same shift."""
    counts: Counts = dict(goal.full())
    for name in goal.gated:
        with np.errstate(over="ignore"):
            expected = (1 / (1 + np.exp(-(logits[name] + shift)))).sum()
        step = goal.step(name)
        units = step * round(float(expected) / step)
        counts[name] = min(goal.most(name), max(goal.floor(name), units))
    return counts


def nearest_counts(goal: Goal, logits: Mapping[str, Array]) -> Counts:
    """Expected counts under the shift of all gates that comes nearest to the goal.

    The gates are at the budget when the sparsity loss did its work, and the shift is
    then next to nothing; it spreads what is missing over the sites as the gates
    themselves would.
    """
    low, high = -80.0, 80.0
    for _ in range(48):
        middle = (low + high) / 2
        over = goal.count(expected_counts(goal, logits, middle)) > goal.size
        low, high = (low, middle) if over else (middle, high)
    return expected_counts(goal, logits, low)


def _deviation(goal: Goal, grid: Counts, base: Counts) -> Array:
    """How far the candidates are from what the gates expect, in the budget's unit."""
    price = _prices(goal, base)
    # the finest knob comes first
    weight = {n: price[n] * (1 if n in goal.fine else 2) for n in goal.gated}
    moved = sum(abs(grid[name] - base[name]) * weight[name] for name in goal.gated)
    return np.asarray(moved)


def _prices(goal: Goal, counts: Counts) -> dict[str, float]:
    """What one more unit of each site costs."""
    size = goal.count(counts)
    return {n: goal.count({**counts, n: counts[n] + 1}) - size for n in counts}


def _fill(goal: Goal, grid: Counts) -> None:
    """Meet the goal by ffn units, the finest knob, in every candidate of the grid.

    Two towers have two prices, which together reach sizes that neither does alone.
    """
    names = goal.fine
    for last, name in enumerate(names, start=1):
        size, step = goal.count(grid), goal.step(name)
        price = goal.count({**grid, name: grid[name] + 1}) - size
        share = (goal.size - size) / (price * (len(names) - last + 1))
        moved = grid[name] + step * np.rint(share / step).astype(np.int64)
        if last < len(names):
            moved = moved + step * np.arange(-FINE, FINE + 1)
        grid[name] = np.clip(moved, goal.floor(name), goal.most(name))


def _search(goal: Goal, base: Counts) -> dict[str, int]:
    """The nearest candidate of a search that widens until it has seen all of them, or
    as many as can be looked at: where so many cannot meet the goal, units are few.

    Raises:
        UserError: none is within 0.5 %; the nearest sizes are named.
    """
    if not goal.gated:
        raise unreachable(goal, np.asarray(goal.count(base), dtype=np.float64))
    price = _prices(goal, base)
    # the finest site is solved for, the others are tried
    *tried, solved = sorted(goal.gated, key=lambda name: -price[name] * goal.step(name))
    widest = max(goal.most(name) - goal.floor(name) for name in goal.gated)
    reach, grid = 1, _solve(goal, base, solved)
    while True:
        axes = [_around(goal, name, base[name], reach) for name in tried]
        if np.prod([float(len(axis)) for axis in axes]) > MANY:
            break
        opened = np.meshgrid(*axes, indexing="ij", sparse=True)
        trial = dict(zip(tried, (axis[..., None] for axis in opened), strict=True))
        grid = _solve(goal, {**base, **trial}, solved)
        chosen = pick(goal, grid, _deviation(goal, grid, base), AIM)
        if chosen is not None:
            return chosen
        if reach >= widest:
            break
        reach *= 2
    raise unreachable(goal, np.asarray(goal.count(grid), dtype=np.float64))


def _around(goal: Goal, name: str, middle: int, reach: int) -> Array:
    """All numbers of a site's units within so many steps."""
    step = goal.step(name)
    first = max(goal.floor(name), middle - reach * step)
    return np.arange(first, min(goal.most(name), middle + reach * step) + 1, step)


def _solve(goal: Goal, grid: Counts, name: str) -> Counts:
    """Every candidate with the two numbers of a site that enclose the goal."""
    step = goal.step(name)
    rest = goal.count({**grid, name: 0})
    price = np.maximum(goal.count({**grid, name: 1}) - rest, 1)
    whole = np.floor((goal.size - rest) / (price * step)).astype(np.int64)
    solved = step * (whole + np.arange(2))
    return {**grid, name: np.clip(solved, goal.floor(name), goal.most(name))}
