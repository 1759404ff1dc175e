"""How wide attention is inside, all layers together, for so many heads and dims in all.

It is heads times dims, layer by layer. Where dims differ, or may, the totals of both do
not tell the sum: which layers have the best so many does.

Legend: L layers, H heads of all layers, D dims of all layers, U units of either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..goal import SizeGoal
from ..shapes import ClipShape, TowerShape
from ..sites import DIMS, FILLING, units_of
from .ranking import Ranking, ranked

Array = NDArray[Any]
Inside = Callable[[Any, Any], Any]  # of so many heads and so many dims, ints or arrays


def inside_widths(
    shape: ClipShape, size_goal: SizeGoal, rankings: Mapping[str, Ranking]
) -> dict[str, Inside]:
    """By tower, the width inside attention for any totals of its heads and dims.

    Args:
        rankings: of the units that may go, by name of the site.
    """
    return {
        name: _of_tower(
            tower,
            size_goal.uniform,
            rankings.get(f"{name}_{FILLING.name}"),
            rankings.get(f"{name}_{DIMS.name}"),
        )
        for name, tower in shape.towers().items()
        if tower.blocks
    }


def _of_tower(
    tower: TowerShape, uniform: bool, heads: Ranking | None, dims: Ranking | None
) -> Inside:
    layers = len(tower.blocks)
    each = {block.dims for block in tower.blocks if block.heads}
    if uniform:  # every layer has the same number of both
        return lambda in_all, dims_in_all: in_all * dims_in_all // layers
    if dims is None and len(each) < 2:
        alike = max(each, default=0)
        return lambda in_all, _dims: in_all * alike
    heads_HL = by_layer(units_of(tower, FILLING.name), heads)
    dims_DL = by_layer(units_of(tower, DIMS.name), dims)
    table_HD = heads_HL @ dims_DL.T

    def look_up(in_all: Any, dims_in_all: Any) -> Any:
        row, column = (
            np.clip(np.rint(number).astype(np.int64), 0, most - 1)
            for number, most in zip((in_all, dims_in_all), table_HD.shape, strict=True)
        )
        return table_HD[row, column]

    return look_up


def by_layer(units: Sequence[int], ranking: Ranking | None) -> Array:
    """How many of the best so many units each layer has, (U + 2, L): one row a number,
    and one more than there are, which the last two say, for a price.

    Without a ranking units go from all layers alike.
    """
    total = sum(units)
    if ranking is None:
        share = np.arange(total + 2)[:, None] / max(1, total)
        return share * np.asarray(units, dtype=np.float64)
    layer_U = np.repeat(np.arange(len(units)), units)
    taken_UL = np.zeros((total + 2, len(units)))
    taken_UL[1 + np.arange(total), layer_U[ranked(ranking.score_U, units)]] = 1
    if total:
        taken_UL[-1] = taken_UL[-2]
    counted: Array = taken_UL.cumsum(axis=0)
    return counted
