"""What size is wanted, what may move, and how a choice of units is counted.

Given its embed width, a tower's size depends on the heads and ffn units of all layers
only through their totals. So every candidate is a few numbers, and thousands of
candidates are counted at once by `cost.size` on arrays. The size is linear in each of
them while the others rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import cost
from ..errors import UserError, nearest
from ..shapes import TOWERS, BlockShape, ClipShape, ImageShape, TowerShape
from .sites import POOL, has_pool, site_name
from .sites import layout as units_of

Layout = Literal["ragged", "uniform"]
LAYOUTS = ("ragged", "uniform")
TOLERANCE = 0.005  # law 2
# LayerNorm takes two directions away: one channel leaves as its bias whatever comes in,
# two leave as a sign. Eight keep a tower a function of its input.
LEAST_EMBED = 8

Array = NDArray[Any]
Counts = dict[str, Any]  # units in all by site name: ints, or arrays of candidates


@dataclass(frozen=True)
class Goal:
    """The size that is wanted, and what may move.

    Args:
        shape: the model that is cut.
        size: wanted size in `budget`, in its unit.
        gated: names of the sites that may shrink.
        towers: which of them the size counts.
        layout: `ragged`, or `uniform` for a stock configuration.
        round_to: ffn and embed widths that shrink become multiples of this.
        reference: the size that shares count from; the model's own, unless given.
    """

    shape: ClipShape
    size: float
    budget: str
    gated: tuple[str, ...]
    towers: tuple[str, ...] = TOWERS
    layout: str = "ragged"
    round_to: int = 1
    reference: float | None = None

    def count(self, counts: Counts) -> Any:
        """The size with so many units in all at every site."""
        return cost.size(lumped(self.shape, counts), self.budget, self.towers)

    @property
    def whole(self) -> float:
        """The size that shares count from."""
        return self.count(self.full()) if self.reference is None else self.reference

    @property
    def cuts_pool(self) -> bool:
        """Whether the attention pool is cut: a ragged student leaves it whole."""
        return self.layout == "uniform" and has_pool(self.shape)

    def units(self) -> dict[str, tuple[int, ...]]:
        """Units a layer at every site of the model."""
        return units_of(self.shape, pool=self.cuts_pool)

    def full(self) -> dict[str, int]:
        """Units in all at every site of the model."""
        return {name: sum(units) for name, units in self.units().items()}

    def step(self, name: str) -> int:
        """What the units of a site are counted in."""
        rounded = name in self.gated and name.endswith(("ffn", "embed"))
        return self.round_to if rounded else 1

    def most(self, name: str) -> int:
        """The most units that the site may be left with in a ragged student."""
        step = self.step(name)
        return sum(width - width % step for width in self.units()[name])

    def floor(self, name: str) -> int:
        """The fewest units that the site may be left with in a ragged student."""
        if name not in self.gated:
            return self.full()[name]
        if not name.endswith("embed"):
            return 0
        step = self.step(name)
        return min(self.most(name), -(-LEAST_EMBED // step) * step)


def make_goal(
    shape: ClipShape,
    gated: Sequence[str],
    target: float,
    budget: str,
    layout: str,
    reference: float | None,
    towers: Sequence[str],
    round_to: int,
) -> Goal:
    """A goal whose size is a share of a reference.

    Args:
        gated: names of the sites with a ranking; those of other towers, and those of a
            pool that stays whole, are left out.
        target: share of `reference`; of the named towers' own size, unless given.

    Raises:
        UserError: a value is no share, no layout, no budget, no tower or no multiple,
            or nothing is gated.
    """
    if not 0 < target <= 1:  # a NaN is in no range
        raise UserError("target", f"{target} is no share", "Give one in (0, 1]")
    if layout not in LAYOUTS:
        raise UserError(
            "layout", f"unknown layout {layout!r}", nearest(layout, LAYOUTS)
        )
    if round_to < 1:
        raise UserError(
            "round_to", f"{round_to} is no multiple to round to", "Give 1 or more"
        )
    named = units_of(shape, towers=towers, pool=layout == "uniform")
    if not set(named) & set(gated):
        raise UserError(
            "towers",
            f"no unit of {' and '.join(towers)} may go",
            "Gate the towers that are to shrink, or name the ones that are gated",
        )
    whole = cost.size(shape, budget, towers) if reference is None else reference
    return Goal(
        shape=shape,
        size=target * whole,
        budget=budget,
        gated=tuple(name for name in gated if name in named),
        towers=tuple(towers),
        layout=layout,
        round_to=round_to,
        reference=whole,
    )


def lumped(shape: ClipShape, counts: Counts) -> ClipShape:
    """A shape of the same size with all heads and ffn units in the first layer.

    The attention pool is whole, unless the counts name its sites.
    """

    def tower(name: str, old: TowerShape) -> TowerShape:
        first = BlockShape(
            heads=counts[site_name(name, "heads")], ffn=counts[site_name(name, "ffn")]
        )
        rest = (BlockShape(heads=0, ffn=0),) * (len(old.blocks) - 1)
        blocks = (first, *rest) if old.blocks else ()
        width = counts[site_name(name, "embed")]
        made = replace(old, width=width, blocks=blocks)
        heads, ffn = (counts.get(site_name(name, site)) for site in POOL)
        if heads is None or not isinstance(made, ImageShape):
            return made
        return replace(made, pool_block=BlockShape(heads=heads, ffn=ffn))

    return shape.with_towers(**{n: tower(n, t) for n, t in shape.towers().items()})


def pick(goal: Goal, grid: Counts, deviation: Array, aim: float) -> Counts | None:
    """The candidate that deviates least among those on the goal, or the nearest to it.

    Args:
        aim: the share of the goal that a candidate may be off and still be taken for
            its small deviation.

    Returns:
        None if no candidate is within 0.5 % of the goal.
    """
    sizes = np.asarray(goal.count(grid), dtype=np.float64)
    gap, deviation = np.broadcast_arrays(abs(sizes - goal.size) / goal.size, deviation)
    if gap.min() > TOLERANCE:
        return None
    order = np.where(gap <= aim, deviation, np.inf) if gap.min() <= aim else gap
    best = np.unravel_index(np.lexsort((gap.ravel(), order.ravel()))[0], gap.shape)
    return {
        name: int(np.broadcast_to(values, gap.shape)[best])
        for name, values in grid.items()
    }
