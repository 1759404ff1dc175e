"""How many units each site keeps, so that the size asked for is the size given (law 2).

Given its embed width, a tower's size depends on the heads and ffn units of all layers
only through their totals. So every candidate is six numbers, and thousands of
candidates are counted at once by `cost.size` on arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import cost
from ..errors import UserError
from ..shapes import BlockShape, ClipShape, TowerShape
from .sites import layout, site_name

TOLERANCE = 0.005  # law 2
AIM = 0.0005  # taken before the smallest correction is looked for
# LayerNorm takes two directions away: one channel leaves as its bias whatever comes in,
# two leave as a sign. Eight keep a tower a function of its input.
LEAST_EMBED = 8
REACH = 2  # units around the expectation that heads and embed may move
FINE = 24  # ffn units that are tried around the even split of what is missing

Array = NDArray[Any]
Counts = dict[str, Any]  # units in all by site name: ints, or arrays of candidates


@dataclass(frozen=True)
class Goal:
    """The size that is wanted, and what may move.

    Args:
        shape: the model that is cut.
        size: wanted size in `budget`, in its unit.
        gated: names of the sites that may shrink.
    """

    shape: ClipShape
    size: float
    budget: str
    gated: tuple[str, ...]

    def count(self, counts: Counts) -> Any:
        """The size with so many units in all at every site."""
        return cost.size(lumped(self.shape, counts), self.budget)

    def full(self) -> dict[str, int]:
        return {name: sum(units) for name, units in layout(self.shape).items()}

    def floor(self, name: str) -> int:
        """The fewest units that the site may be left with."""
        full = self.full()[name]
        if name not in self.gated:
            return full
        return min(full, LEAST_EMBED) if name.endswith("embed") else 0


def lumped(shape: ClipShape, counts: Counts) -> ClipShape:
    """A shape of the same size with all heads and ffn units in the first layer."""

    def tower(name: str, old: TowerShape) -> TowerShape:
        first = BlockShape(
            heads=counts[site_name(name, "heads")], ffn=counts[site_name(name, "ffn")]
        )
        rest = (BlockShape(heads=0, ffn=0),) * (len(old.blocks) - 1)
        blocks = (first, *rest) if old.blocks else ()
        return replace(old, width=counts[site_name(name, "embed")], blocks=blocks)

    return shape.with_towers(**{n: tower(n, t) for n, t in shape.towers().items()})


def expected_counts(goal: Goal, logits: Mapping[str, Array], shift: float) -> Counts:
    """The rounded expectation of every site, all gates opened by the same shift."""
    counts: Counts = dict(goal.full())
    for name in goal.gated:
        with np.errstate(over="ignore"):
            expected = (1 / (1 + np.exp(-(logits[name] + shift)))).sum()
        counts[name] = max(goal.floor(name), round(float(expected)))
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


def ragged_counts(goal: Goal, logits: Mapping[str, Array]) -> dict[str, int]:
    """Units in all that every site keeps.

    Args:
        logits: of the open probability of every unit, by name of the gated site.

    Raises:
        UserError: no choice of units comes within 0.5 % of the goal.
    """
    check_reachable(goal)
    base = nearest_counts(goal, logits)
    full = goal.full()
    coarse = [name for name in goal.gated if not name.endswith("ffn")]
    steps = range(-REACH, REACH + 1)
    moves = np.array(list(itertools.product(steps, repeat=len(coarse))), dtype=np.int64)
    moves = moves.reshape(len(moves), len(coarse), 1)
    grid: Counts = dict(base)
    for column, name in enumerate(coarse):
        moved = base[name] + moves[:, column]
        grid[name] = np.clip(moved, goal.floor(name), full[name])
    _fill_ffn(goal, grid)
    grid = dict(zip(grid, np.broadcast_arrays(*grid.values()), strict=True))
    price = _prices(goal, base)
    for name in coarse:
        price[name] *= 2  # the finest knob comes first
    moved_size = sum(abs(grid[name] - base[name]) * price[name] for name in goal.gated)
    return pick(goal, grid, np.asarray(moved_size))


def _prices(goal: Goal, counts: Counts) -> dict[str, float]:
    """What one more unit of each site costs."""
    size = goal.count(counts)
    return {n: goal.count({**counts, n: counts[n] + 1}) - size for n in counts}


def _fill_ffn(goal: Goal, grid: Counts) -> None:
    """Meet the goal by ffn units, the finest knob, in every candidate of the grid.

    Two towers have two prices, which together reach sizes that neither does alone.
    """
    full = goal.full()
    names = [n for n in goal.gated if n.endswith("ffn")]
    for last, name in enumerate(names, start=1):
        size = goal.count(grid)
        price = goal.count({**grid, name: grid[name] + 1}) - size
        share = (goal.size - size) / (price * (len(names) - last + 1))
        moved = grid[name] + np.rint(share).astype(np.int64)
        if last < len(names):
            moved = moved + np.arange(-FINE, FINE + 1)
        grid[name] = np.clip(moved, 0, full[name])


def pick(goal: Goal, grid: Counts, deviation: Array) -> dict[str, int]:
    """The candidate that deviates least among those on the goal.

    Raises:
        UserError: no candidate is within 0.5 % of it; the nearest sizes are named.
    """
    sizes = np.asarray(goal.count(grid), dtype=np.float64)
    gap = abs(sizes - goal.size) / goal.size
    if gap.min() > TOLERANCE:
        raise unreachable(goal, sizes)
    if gap.min() <= AIM:
        order = np.where(gap <= AIM, deviation, np.inf)
    else:
        order = gap
    best = np.unravel_index(np.lexsort((gap.ravel(), order.ravel()))[0], gap.shape)
    return {
        name: int(np.broadcast_to(values, gap.shape)[best])
        for name, values in grid.items()
    }


def unreachable(goal: Goal, sizes: Array) -> UserError:
    """What to say when the units are too coarse for the goal."""
    below, above = sizes[sizes < goal.size], sizes[sizes > goal.size]
    near = [f"{side.max():,.0f}" for side in [below] if side.size]
    near += [f"{side.min():,.0f}" for side in [above] if side.size]
    return UserError(
        "target",
        f"no choice of units comes within {TOLERANCE:.1%} of {goal.size:,.0f} "
        f"({goal.budget}); the nearest sizes are {' and '.join(near)}",
        "Ask for one of them, or gate more sites; a ragged layout reaches most",
    )


def check_reachable(goal: Goal) -> None:
    """Refuse a goal that is smaller than the smallest model or larger than this one.

    Raises:
        UserError: it is, with the size that can be reached.
    """
    smallest = goal.count({name: goal.floor(name) for name in goal.full()})
    largest = goal.count(goal.full())
    wanted = f"{goal.size:,.0f} ({goal.budget})"
    if goal.size < smallest * (1 - TOLERANCE):
        gated = ", ".join(dict.fromkeys(name.split("_")[1] for name in goal.gated))
        raise UserError(
            "target",
            f"{wanted} is out of reach: with {gated} gated, the smallest size is "
            f"{smallest:,.0f}",
            "Ask for a larger target, or gate more sites",
        )
    if goal.size > largest * (1 + TOLERANCE):
        raise UserError(
            "target",
            f"{wanted} is more than the model has, {largest:,.0f}",
            "Ask for a smaller target",
        )
