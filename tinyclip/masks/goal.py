"""What size is wanted, what may move, and how a choice of units is counted.

Given its embed width, a tower's size depends on the ffn units of all layers only
through their total, and so on the widths inside attention. So every candidate is a few
numbers, and thousands of candidates are counted at once by `cost.size` on arrays. The
size is linear in each of them while the others rest.

The width inside attention is heads times dims, layer by layer. Where both differ from
layer to layer their totals do not tell its sum: `inside` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..goal import TOLERANCE, SizeGoal
from ..shapes import ClipShape, TowerShape
from ..sites import (
    DIMS,
    FILLING,
    GROUPS,
    LAYERS,
    SITES,
    USUAL,
    blocks_of,
    keys_of,
    resized,
    units_of,
)
from .inside import Inside, inside_widths
from .ranking import Ranking
from .sites import layout

Array = NDArray[Any]
Counts = dict[str, Any]  # units in all by site name: ints, or arrays of candidates


@dataclass(frozen=True)
class Goal:
    """The size that is wanted of a model, and what of it may move.

    Args:
        shape: the model that is cut.
        size_goal: the size, against a reference.
        gated: names of the sites that may shrink.
        settled: names of gated sites of which nothing is left to choose: whole layers
            that are chosen already, and the units that went with them.
        inside: by tower, the width inside attention of all layers for so many heads and
            so many dims in all.
    """

    shape: ClipShape
    size_goal: SizeGoal
    gated: tuple[str, ...]
    settled: tuple[str, ...] = ()
    inside: Mapping[str, Inside] = field(default_factory=dict)

    def count(self, counts: Counts) -> Any:
        """The size with so many units in all at every site."""
        return self.size_goal.size(lumped(self.shape, counts, self.inside))

    @property
    def whole(self) -> float:
        """The size that shares count from."""
        assert self.size_goal.reference is not None
        return self.size_goal.reference

    @property
    def size(self) -> float:
        """Wanted size in the budget's unit."""
        return self.size_goal.target * self.whole

    @property
    def cuts_pool(self) -> bool:
        """Whether the attention pool is cut: a ragged student leaves it whole."""
        pools = (blocks_of(tower, "pool") for tower in self.shape.towers().values())
        return self.size_goal.uniform and any(pools)

    @property
    def fine(self) -> list[str]:
        """The gated sites that are the finest knobs."""
        return [name for name in self.gated if GROUPS[name].site.fine]

    def units(self) -> dict[str, tuple[int, ...]]:
        """Units a layer at every site that students are told apart by."""
        more = [site for site in SITES if site not in LAYERS and self._gates(site)]
        return layout(self.shape, (*USUAL, *more), pool=self.cuts_pool)

    def _gates(self, site: str) -> bool:
        return any(GROUPS[name].key == site for name in (*self.gated, *self.settled))

    def full(self) -> dict[str, int]:
        """Units in all at every such site of the model."""
        return {name: sum(units) for name, units in self.units().items()}

    def step(self, name: str) -> int:
        """What the units of a site are counted in."""
        rounded = name in self.gated and GROUPS[name].site.rounded
        return self.size_goal.round_to if rounded else 1

    def most(self, name: str) -> int:
        """The most units that the site may be left with in a ragged student."""
        step = self.step(name)
        return sum(width - width % step for width in self.units()[name])

    def floor(self, name: str) -> int:
        """The fewest units that the site may be left with in a ragged student."""
        if name not in self.gated:
            return self.full()[name]
        step = self.step(name)
        return min(self.most(name), -(-GROUPS[name].site.least // step) * step)


def make_goal(
    shape: ClipShape, size_goal: SizeGoal, rankings: Mapping[str, Ranking]
) -> Goal:
    """A goal for a model; its own size is the reference, unless there is one.

    Args:
        rankings: of the units that may go, by name of the site; those of other towers,
            and those of a pool that stays whole, are left out.

    Raises:
        UserError: there is no such tower, or nothing is ranked.
    """
    named = layout(shape, tuple(SITES), size_goal.towers, size_goal.uniform)
    if not set(named) & set(rankings):
        raise UserError(
            "towers",
            f"no unit of {' and '.join(size_goal.towers)} may go",
            "Gate the towers that are to shrink, or name the ones that are gated",
        )
    used = {name: ranking for name, ranking in rankings.items() if name in named}
    inside = inside_widths(shape, size_goal, used)
    return Goal(shape, size_goal.against(shape), tuple(used), inside=inside)


def lumped(shape: ClipShape, counts: Counts, inside: Mapping[str, Inside]) -> ClipShape:
    """A shape of the same size with all units of a site in the first block.

    Args:
        counts: by name of the site; one that is not named is as it is.
        inside: as `Goal` has it.
    """

    def tower(name: str, old: TowerShape) -> TowerShape:
        units = {}
        for key in keys_of(old):
            held = units_of(old, key)
            count = counts.get(f"{name}_{key}", sum(held))
            units[key] = [count, *[0] * (len(held) - 1)] if held else []
        if old.blocks:
            # one dim each, and as many heads as attention is wide
            heads, dims = units[FILLING.name], units[DIMS.name]
            heads[0], dims[0] = inside[name](heads[0], dims[0]), 1
        return resized(old, units)

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
