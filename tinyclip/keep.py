"""The exact surviving units of every site, and the gate value each survived with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .shapes import ClipShape, TowerShape
from .sites import KEYS, USUAL, keys_of, resized, units_of


@dataclass(frozen=True)
class Keep:
    """The units of one site that survive, in ascending order.

    Args:
        kept: indices of the survivors, ascending. May be empty (a dead layer).
        total: how many units there were.
        scale: the hardened gate of each survivor, folded into the weights at the cut;
            None stands for 1.0 everywhere.
    """

    kept: tuple[int, ...]
    total: int
    scale: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if list(self.kept) != sorted(set(self.kept)):
            raise ValueError(f"kept must be unique and ascending, got {self.kept}")
        if self.kept and not 0 <= self.kept[0] <= self.kept[-1] < self.total:
            raise ValueError(f"kept {self.kept} is outside 0..{self.total - 1}")
        if self.scale is not None and len(self.scale) != len(self.kept):
            raise ValueError("scale needs one value per kept unit")

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def scales(self) -> tuple[float, ...]:
        return (1.0,) * len(self.kept) if self.scale is None else self.scale

    @classmethod
    def everything(cls, total: int) -> Keep:
        return cls(tuple(range(total)), total)


@dataclass(frozen=True)
class TowerKeep:
    """What survives in one tower.

    Args:
        units: by the site's name inside a tower: one `Keep` a block, for the blocks in
            `layers` only, or the only one. A site that is not named stays whole.
        layers: the blocks that survive as blocks.
    """

    units: Mapping[str, tuple[Keep, ...]]
    layers: Keep

    def __post_init__(self) -> None:
        for key, keeps in self.units.items():
            group = KEYS[key]
            if sum(map(len, keeps)) < min(1, group.site.least):
                raise ValueError(f"a tower needs at least one {group.site.unit}")
            if len(keeps) != (1 if _has_one(key) else len(self.layers)):
                raise ValueError(f"{key} needs one Keep for each kept layer")

    def __getitem__(self, key: str) -> tuple[Keep, ...]:
        return self.units[key]

    def sole(self, key: str) -> Keep | None:
        """The `Keep` of a site that has only one; None keeps it whole."""
        return self.units[key][0] if key in self.units else None

    def cut(self, shape: TowerShape) -> TowerShape:
        """The shape of the tower that is left."""
        blocks = tuple(shape.blocks[i] for i in self.layers.kept)
        left = replace(shape, blocks=blocks)
        units = {
            key: [len(keep) for keep in keeps] for key, keeps in self.units.items()
        }
        for key in keys_of(left):  # a layer that is gone takes its units along
            layer = KEYS[key].site.layer
            if layer in units and not KEYS[key].part:
                whole = units.get(key, units_of(left, key))
                pairs = zip(whole, units[layer], strict=True)
                units[key] = [count if has_layer else 0 for count, has_layer in pairs]
        return resized(left, units)

    @classmethod
    def everything(cls, shape: TowerShape) -> TowerKeep:
        """Nothing is cut."""
        units = {
            key: tuple(Keep.everything(total) for total in units_of(shape, key))
            for key in USUAL
        }
        return cls(units, Keep.everything(len(shape.blocks)))


@dataclass(frozen=True)
class ClipKeep:
    """What survives in both towers."""

    image: TowerKeep
    text: TowerKeep

    def towers(self) -> dict[str, TowerKeep]:
        return {"image": self.image, "text": self.text}

    def cut(self, shape: ClipShape) -> ClipShape:
        """The shape of the model that is left."""
        return shape.with_towers(
            image=self.image.cut(shape.image), text=self.text.cut(shape.text)
        )

    @classmethod
    def everything(cls, shape: ClipShape) -> ClipKeep:
        return cls(TowerKeep.everything(shape.image), TowerKeep.everything(shape.text))


def keep_to_dict(keep: ClipKeep) -> dict[str, Any]:
    """The keep as plain JSON values; floats keep every bit."""

    def entry_of(site: Keep) -> dict[str, Any]:
        scale = None if site.scale is None else list(site.scale)
        return {"kept": list(site.kept), "total": site.total, "scale": scale}

    def tower(kept: TowerKeep) -> dict[str, Any]:
        # a site of a pool is named even where it stays whole, as it always was
        named: dict[str, Any] = {key: None for key, g in KEYS.items() if g.part}
        for key, keeps in kept.units.items():
            named[key] = (
                entry_of(keeps[0]) if _has_one(key) else list(map(entry_of, keeps))
            )
        return {**named, "layers": entry_of(kept.layers)}

    return {name: tower(kept) for name, kept in keep.towers().items()}


def keep_from_dict(value: Mapping[str, Any]) -> ClipKeep:
    """The keep that `keep_to_dict` wrote."""

    def keep_of(entry: Mapping[str, Any]) -> Keep:
        scale = None if entry["scale"] is None else tuple(entry["scale"])
        return Keep(tuple(entry["kept"]), entry["total"], scale)

    def tower(entry: Mapping[str, Any]) -> TowerKeep:
        units = {
            key: (keep_of(keeps),) if _has_one(key) else tuple(map(keep_of, keeps))
            for key in KEYS
            if (keeps := entry.get(key)) is not None
        }
        return TowerKeep(units, keep_of(entry["layers"]))

    return ClipKeep(image=tower(value["image"]), text=tower(value["text"]))


def _has_one(key: str) -> bool:
    """Whether a tower has one Keep of the site, not one a block."""
    return bool(KEYS[key].part) or not KEYS[key].site.in_block
