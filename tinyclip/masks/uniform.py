"""How many units each site keeps when the student must be a stock configuration."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from ..errors import UserError
from ..shapes import TowerShape
from .budget import FINE, Array, Counts, Goal, check_reachable, nearest_counts, pick
from .sites import TOWERS, site_name


def uniform_counts(goal: Goal, logits: Mapping[str, Array]) -> dict[str, int]:
    """Units in all that every site keeps: all layers alike, heads that fill embed.

    The head numbers of both towers are tried in full; the ffn widths follow from the
    budget, in the proportion that the gates want.

    Raises:
        UserError: no such shape comes within 0.5 % of the goal, or a site that is not
            gated is not uniform.
    """
    check_reachable(goal)
    wanted = nearest_counts(goal, logits)
    towers = goal.shape.towers()
    for name, tower in towers.items():
        alike = len({block.ffn for block in tower.blocks}) == 1
        if not alike and site_name(name, "ffn") not in goal.gated:
            raise _not_uniform(name, "its layers differ in ffn, which is not gated")
    heads = {name: _head_numbers(goal, name, towers[name]) for name in TOWERS}
    pairs = np.array(list(itertools.product(*heads.values())), dtype=np.int64)
    grid: Counts = {}
    for column, (name, tower) in enumerate(towers.items()):
        number = pairs[:, column : column + 1]
        grid[site_name(name, "heads")] = number * len(tower.blocks)
        grid[site_name(name, "embed")] = number * tower.head_width
    _fill_uniform_ffn(goal, grid, wanted)
    full = goal.full()
    deviation = sum(abs(grid[n] - wanted[n]) / max(1, full[n]) for n in full)
    return pick(goal, grid, np.asarray(deviation))


def _head_numbers(goal: Goal, name: str, tower: TowerShape) -> range | list[int]:
    """Heads a layer that a uniform tower may have.

    Raises:
        UserError: a site that must stay as it is rules every number out.
    """
    most = min([tower.width // tower.head_width, *(b.heads for b in tower.blocks)])
    allowed = set(range(1, most + 1))
    if site_name(name, "embed") not in goal.gated:
        allowed &= {tower.width / tower.head_width}  # type: ignore[arg-type]
    if site_name(name, "heads") not in goal.gated:
        allowed &= {b.heads for b in tower.blocks} if most else set()
        allowed = allowed if len({b.heads for b in tower.blocks}) == 1 else set()
    if not allowed:
        why = f"heads × {tower.head_width} must equal embed in every layer"
        raise _not_uniform(name, why)
    return sorted(int(number) for number in allowed)


def _not_uniform(name: str, why: str) -> UserError:
    return UserError(
        "layout",
        f"the {name} tower cannot be uniform: {why}",
        "Gate heads, ffn and embed, or use --layout ragged",
    )


def _fill_uniform_ffn(goal: Goal, grid: Counts, wanted: Counts) -> None:
    """Meet the goal by the ffn widths, the same in every layer of a tower."""
    names = [site_name(tower, "ffn") for tower in TOWERS]
    layers = [len(goal.shape.towers()[tower].blocks) for tower in TOWERS]
    most = [
        min((b.ffn for b in goal.shape.towers()[tower].blocks), default=0)
        for tower in TOWERS
    ]
    for name, depth, width in zip(names, layers, most, strict=True):
        fixed = name not in goal.gated
        grid[name] = np.int64(width * depth if fixed else 0)
    free = [i for i, name in enumerate(names) if name in goal.gated and layers[i]]
    for place, i in enumerate(free):
        missing = goal.size - goal.count(grid)
        price = {
            j: goal.count({**grid, names[j]: grid[names[j]] + 1}) - goal.count(grid)
            for j in free[place:]
        }
        pull = sum(price[j] * max(1, wanted[names[j]]) for j in free[place:])
        units = missing * max(1, wanted[names[i]]) / pull / layers[i]
        width = np.rint(units).astype(np.int64)
        if place < len(free) - 1:
            width = width + np.arange(-FINE, FINE + 1)
        grid[names[i]] = np.clip(width, 1, most[i]) * layers[i]
