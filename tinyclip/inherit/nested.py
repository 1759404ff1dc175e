"""Units chosen from what a larger student kept, so that each is a part of the next.

Legend: U units of one tower and site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..keep import ClipKeep, Keep, TowerKeep
from ..shapes import ClipShape, TowerShape
from ..sites import GROUPS, KEYS, keys_of, units_of


@dataclass(frozen=True)
class Room:
    """The units of a model that may be chosen.

    Args:
        shape: the model, the others cut.
        scores: of what is left, (U,), by site name.
        gone: what the others carry in all, by site name.
        larger: those units of the whole model, every site named; None for all.
    """

    shape: ClipShape
    scores: Mapping[str, Tensor]
    gone: Mapping[str, float]
    larger: ClipKeep | None = None

    @classmethod
    def of(
        cls,
        shape: ClipShape,
        scores: Mapping[str, Tensor],
        larger: ClipKeep | None = None,
    ) -> Room:
        """The units of `shape` that a larger student kept, all of them without one.

        Args:
            scores: one a unit, (U,), by site name.

        Raises:
            ValueError: `larger` is of another shape.
        """
        if larger is None:
            return cls(shape, scores, dict.fromkeys(scores, 0.0))
        larger = named_in_full(larger, shape)
        left, gone = {}, {}
        for name, score_U in scores.items():
            open_U = _open(larger, shape, name).to(score_U.device)
            left[name] = score_U[open_U]
            gone[name] = float(score_U[~open_U].double().sum())
        return cls(larger.cut(shape), left, gone, larger)

    def whole(self, keep: ClipKeep) -> ClipKeep:
        """A choice in this room as one of the whole model."""
        if self.larger is None:
            return keep
        outer, chosen = self.larger.towers(), keep.towers()
        return ClipKeep(**{name: _nested(outer[name], chosen[name]) for name in outer})


def named_in_full(keep: ClipKeep, shape: ClipShape) -> ClipKeep:
    """The same keep with every site named: what it leaves out is whole, but for the
    units that went with their layer.

    Raises:
        ValueError: it is of another shape.
    """
    towers = shape.towers()
    return ClipKeep(
        **{name: _in_full(kept, towers[name]) for name, kept in keep.towers().items()}
    )


def _in_full(kept: TowerKeep, tower: TowerShape) -> TowerKeep:
    if kept.layers.total != len(tower.blocks):
        raise ValueError(f"{kept.layers.total} blocks where {len(tower.blocks)} are")
    left, units = kept.cut(tower), {}
    for key in keys_of(tower):
        totals = units_of(tower, key)
        if is_of_blocks(key):
            totals = tuple(totals[block] for block in kept.layers.kept)
        counts = zip(totals, units_of(left, key), strict=True)
        whole = tuple(Keep(tuple(range(min(n, c))), n) for n, c in counts)
        units[key] = kept.units.get(key, whole)
        if [keep.total for keep in units[key]] != list(totals):
            raise ValueError(f"{key}: the keep is of another shape")
    return TowerKeep(units, kept.layers)


def _nested(outer: TowerKeep, inner: TowerKeep) -> TowerKeep:
    """What a choice in the smaller tower leaves of the whole one."""
    units = {}
    for key, keeps in outer.units.items():
        if is_of_blocks(key):
            keeps = tuple(keeps[block] for block in inner.layers.kept)
        then = inner.units.get(key)
        if then is not None:
            units[key] = tuple(map(_composed, keeps, then))
        elif any(len(one) < one.total for one in keeps):  # a whole one needs no name
            units[key] = keeps
    return TowerKeep(units, _composed(outer.layers, inner.layers))


def _composed(outer: Keep, inner: Keep) -> Keep:
    """The units of `outer` that `inner` keeps of those it left; inner's gate values."""
    return Keep(tuple(outer.kept[i] for i in inner.kept), outer.total, inner.scale)


def is_of_blocks(key: str) -> bool:
    """Whether a site has one keep a block of the tower."""
    return KEYS[key].site.in_block and not KEYS[key].part


def _open(keep: ClipKeep, shape: ClipShape, name: str) -> Tensor:
    """Which units of one tower and site a keep has, (U,).

    Args:
        keep: every site named.
    """
    group = GROUPS[name]
    kept = keep.towers()[group.tower]
    totals = units_of(shape.towers()[group.tower], group.key)
    blocks = kept.layers.kept if is_of_blocks(group.key) else range(len(totals))
    parts = [torch.zeros(total, dtype=torch.bool) for total in totals]
    for block, one in zip(blocks, kept.units[group.key], strict=True):
        parts[block][list(one.kept)] = True
    return torch.cat([torch.zeros(0, dtype=torch.bool), *parts])
