"""The places of a tower that can shrink: one table, from which all else derives.

Shapes, keeps, gates, slices, scores and costs know a site by what stands here: what
counts its units, which axis of which parameter they rule, and where their gate values
are folded in. A site in one part of one tower has a name, `image_heads`; an attention
pool is a part like the blocks, and its sites are `image_pool_heads` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .shapes import TOWERS, TowerShape

# LayerNorm takes two directions away: one channel leaves as its bias whatever comes in,
# two leave as a sign. Eight keep a tower a function of its input.
LEAST_EMBED = 8


@dataclass(frozen=True, kw_only=True)
class Site:
    """One kind of unit.

    Args:
        unit: what one is called.
        field: of the shape that counts them: the block's, or the tower's.
        in_block: whether every block has its own; else there is one vector a tower.
        inner: whether it is one of those whose product is the width inside attention: a
            unit of one has as many rows as there are units of the other.
        pooled: whether an attention pool has it.
        rounded: whether `round_to` applies.
        least: a tower is left with that many at least.
        fine: whether it is the finest knob, by which a size is met.
        layer: the site whose closed unit takes these along.
        owns: parameters, by the start of their name, that are there only with the unit:
            it is a whole layer of its block.
        joins: those of them that its gate value is folded into.
        usual: whether it is gated unless told otherwise.
    """

    name: str
    unit: str
    field: str
    in_block: bool = True
    inner: bool = False
    pooled: bool = True
    rounded: bool = False
    least: int = 0
    fine: bool = False
    layer: str | None = None
    owns: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    usual: bool = True


# in the order in which messages and files name them
SITES = {
    site.name: site
    for site in (
        Site(
            name="heads",
            unit="head",
            field="heads",
            inner=True,
            layer="attention_layers",
        ),
        Site(
            name="dims",
            unit="dim",
            field="dims",
            inner=True,
            pooled=False,
            layer="attention_layers",
            usual=False,
        ),
        Site(
            name="ffn",
            unit="ffn unit",
            field="ffn",
            rounded=True,
            fine=True,
            layer="ffn_layers",
        ),
        Site(
            name="embed",
            unit="channel",
            field="width",
            in_block=False,
            pooled=False,
            rounded=True,
            least=LEAST_EMBED,
        ),
        Site(
            name="attention_layers",
            unit="attention layer",
            field="attention_layers",
            owns=("norm_1.", "attention.", "scale_1"),
            joins=("attention.out.",),
            pooled=False,
            usual=False,
        ),
        Site(
            name="ffn_layers",
            unit="ffn layer",
            field="ffn_layers",
            owns=("norm_2.", "ffn.", "scale_2"),
            joins=("ffn.down.",),
            pooled=False,
            usual=False,
        ),
    )
}
USUAL = tuple(name for name, site in SITES.items() if site.usual)
LAYERS = tuple(name for name, site in SITES.items() if site.owns)
ROUNDED = tuple(name for name, site in SITES.items() if site.rounded)
# by these a stock configuration tells a tower: one width, units that side by side fill
# it (so many heads of so many dims), and the finest knob
(WIDTH,) = (site for site in SITES.values() if not site.in_block)
FILLING, DIMS = (site for site in SITES.values() if site.inner)
(FINEST,) = (site for site in SITES.values() if site.fine)
# parts of a tower that are made of blocks: the field of the shape that holds them
PARTS = {"": "blocks", "pool": "pool_block"}


@dataclass(frozen=True)
class Group:
    """The units of one site in one part of one tower: one flat vector of gates."""

    tower: str
    part: str
    site: Site

    @property
    def key(self) -> str:
        """Its name inside the tower."""
        return key_of(self.site.name, self.part)

    @property
    def name(self) -> str:
        return f"{self.tower}_{self.key}"

    @property
    def layer(self) -> Group | None:
        """The layers whose units these are, where whole ones may go."""
        if self.part or self.site.layer is None:
            return None
        return replace(self, site=SITES[self.site.layer])

    @property
    def title(self) -> str:
        """As a message names it."""
        return self.name.replace("_", " ")


def key_of(site: str, part: str = "") -> str:
    return f"{part}_{site}" if part else site


def parts_of(tower: str, part: str) -> Iterator[Group]:
    """The groups of one part."""
    for site in SITES.values():
        if not part or site.pooled:
            yield Group(tower, part, site)


# by name: the towers, then their pools
GROUPS = {
    group.name: group
    for part in PARTS
    for tower in TOWERS
    for group in parts_of(tower, part)
}
# by the name inside a tower
KEYS = {group.key: group for group in GROUPS.values()}


def blocks_of(tower: TowerShape, part: str = "") -> tuple[Any, ...]:
    """The blocks of a part; none where the tower has no such part."""
    blocks = getattr(tower, PARTS[part], None)
    if blocks is None:
        return ()
    return blocks if isinstance(blocks, tuple) else (blocks,)


def units_of(tower: TowerShape, key: str) -> tuple[Any, ...]:
    """How many units each block has at a site; one number where it is the tower's."""
    group = KEYS[key]
    if not group.site.in_block:
        return (getattr(tower, group.site.field),)
    blocks = blocks_of(tower, group.part)
    return tuple(getattr(block, group.site.field) for block in blocks)


def keys_of(tower: TowerShape) -> tuple[str, ...]:
    """The sites that a tower has."""
    return tuple(
        key
        for key, group in KEYS.items()
        if not group.site.in_block or not group.part or blocks_of(tower, group.part)
    )


def resized(tower: TowerShape, units: Mapping[str, Sequence[Any]]) -> TowerShape:
    """The tower with so many units in every block of a site.

    Args:
        units: by the name inside a tower, as `units_of` gives them; a site that is not
            named stays as it is.
    """
    changed: dict[str, Any] = {}
    for part, field in PARTS.items():
        blocks = list(blocks_of(tower, part))
        for key, numbers in units.items():
            group = KEYS[key]
            if not group.site.in_block or group.part != part:
                continue
            blocks = [
                replace(block, **{group.site.field: number})
                for block, number in zip(blocks, numbers, strict=True)
            ]
        if blocks:
            changed[field] = blocks[0] if part else tuple(blocks)
    for key, numbers in units.items():
        if not KEYS[key].site.in_block:
            changed[KEYS[key].site.field] = numbers[0]
    return replace(tower, **changed)


def in_line(
    blocks: Sequence[Mapping[str, Any]], site: str, head_width: int | None = None
) -> str:
    """The units of every block, from plain JSON values, as a line that a person reads:
    `–` where the block has no such layer at all, `4×24` for four heads of 24 dims where
    some of the tower's heads lost any.

    Args:
        head_width: dims of a head that lost none.
    """
    layer = SITES[site].layer
    gone = [layer is not None and block.get(layer, 1) == 0 for block in blocks]
    fewer = site == FILLING.name and any(DIMS.field in block for block in blocks)

    def units(block: Mapping[str, Any]) -> str:
        dims = f"×{block.get(DIMS.field, head_width)}" if fewer else ""
        return f"{block[site]}{dims}"

    pairs = zip(blocks, gone, strict=True)
    return " ".join("–" if none else units(block) for block, none in pairs)


def basis_of(tower: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of a rotated tower's plain JSON values: its `full_width`, and whether a `stem`
    leads into the basis; None of any other."""
    if tower.get("norm", "layer") == "layer":
        return None
    stem = bool(tower.get("norm_pre", False))
    return {"full_width": tower["full_width"], "stem": stem}


def width_in_words(width: int, basis: Mapping[str, Any] | None) -> str:
    """A tower's width as a person reads it."""
    if basis is None:
        return str(width)
    stem = ", behind a stem" if basis["stem"] else ""
    return f"{width} directions of {basis['full_width']}{stem}"
