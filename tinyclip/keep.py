"""The exact surviving units of every site, and the gate value each survived with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .shapes import BlockShape, ClipShape, ImageShape, TowerShape


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
        embed: residual channels, never empty.
        heads, ffn: one `Keep` a block, for the blocks in `layers` only.
        layers: the blocks that survive as blocks; all, unless inherited by hand.
        pool_heads, pool_ffn: of an attention pool; None keeps it whole.
    """

    embed: Keep
    heads: tuple[Keep, ...]
    ffn: tuple[Keep, ...]
    layers: Keep
    pool_heads: Keep | None = None
    pool_ffn: Keep | None = None

    def __post_init__(self) -> None:
        if not self.embed.kept:
            raise ValueError("a tower needs at least one embedding channel")
        if not len(self.heads) == len(self.ffn) == len(self.layers):
            raise ValueError("heads and ffn need one Keep for each kept layer")

    def cut(self, shape: TowerShape) -> TowerShape:
        """The shape of the tower that is left."""
        blocks = tuple(
            BlockShape(heads=len(heads), ffn=len(ffn))
            for heads, ffn in zip(self.heads, self.ffn, strict=True)
        )
        cut = replace(shape, width=len(self.embed), blocks=blocks)
        if not isinstance(cut, ImageShape) or cut.pool_block is None:
            return cut
        whole = cut.pool_block
        heads = whole.heads if self.pool_heads is None else len(self.pool_heads)
        ffn = whole.ffn if self.pool_ffn is None else len(self.pool_ffn)
        return replace(cut, pool_block=BlockShape(heads=heads, ffn=ffn))

    @classmethod
    def everything(cls, shape: TowerShape) -> TowerKeep:
        """Nothing is cut."""
        return cls(
            embed=Keep.everything(shape.width),
            heads=tuple(Keep.everything(block.heads) for block in shape.blocks),
            ffn=tuple(Keep.everything(block.ffn) for block in shape.blocks),
            layers=Keep.everything(len(shape.blocks)),
        )


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

    def one(site: Keep) -> dict[str, Any]:
        scale = None if site.scale is None else list(site.scale)
        return {"kept": list(site.kept), "total": site.total, "scale": scale}

    def perhaps(site: Keep | None) -> dict[str, Any] | None:
        return None if site is None else one(site)

    def many(sites: Sequence[Keep]) -> list[dict[str, Any]]:
        return [one(site) for site in sites]

    return {
        name: {
            "embed": one(tower.embed),
            "heads": many(tower.heads),
            "ffn": many(tower.ffn),
            "layers": one(tower.layers),
            "pool_heads": perhaps(tower.pool_heads),
            "pool_ffn": perhaps(tower.pool_ffn),
        }
        for name, tower in keep.towers().items()
    }


def keep_from_dict(value: Mapping[str, Any]) -> ClipKeep:
    """The keep that `keep_to_dict` wrote."""

    def one(entry: Mapping[str, Any]) -> Keep:
        scale = None if entry["scale"] is None else tuple(entry["scale"])
        return Keep(tuple(entry["kept"]), entry["total"], scale)

    def tower(entry: Mapping[str, Any]) -> TowerKeep:
        return TowerKeep(
            embed=one(entry["embed"]),
            heads=tuple(map(one, entry["heads"])),
            ffn=tuple(map(one, entry["ffn"])),
            layers=one(entry["layers"]),
            pool_heads=one(entry["pool_heads"]) if entry.get("pool_heads") else None,
            pool_ffn=one(entry["pool_ffn"]) if entry.get("pool_ffn") else None,
        )

    return ClipKeep(image=tower(value["image"]), text=tower(value["text"]))
