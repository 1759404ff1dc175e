"""How the units of a tower lie in flat vectors: one vector a tower and site.

A site is named `image_heads`, `text_embed` and so on; heads and ffn hold the units of
all layers one after the other. The units of an attention pool are sites of their own,
`image_pool_heads` and `image_pool_ffn`: only a uniform student has to cut them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import UserError, nearest
from ..shapes import TOWERS, ClipShape, ImageShape, TowerShape

SITES = ("heads", "ffn", "embed")
POOL = ("pool_heads", "pool_ffn")


def site_name(tower: str, site: str) -> str:
    return f"{tower}_{site}"


def widths(tower: TowerShape, site: str) -> tuple[Any, ...]:
    """How many units each layer has; the embed site has one vector a tower."""
    if site == "embed":
        return (tower.width,)
    if site in POOL:
        assert isinstance(tower, ImageShape) and tower.pool_block is not None
        return (getattr(tower.pool_block, site.removeprefix("pool_")),)
    return tuple(getattr(block, site) for block in tower.blocks)


def has_pool(shape: ClipShape) -> bool:
    """Whether the image tower has an attention pool."""
    return shape.image.pool_block is not None


def layout(
    shape: ClipShape,
    sites: Sequence[str] = SITES,
    towers: Sequence[str] = TOWERS,
    pool: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Units a layer of every gated site, by its name.

    Args:
        pool: gate the units of the attention pool too, if there is one.

    Raises:
        UserError: a site or tower does not exist, or none was given.
    """
    if not towers:
        raise UserError("towers", "no tower to gate", f"Choose {' or '.join(TOWERS)}")
    for tower in towers:
        if tower not in TOWERS:
            raise UserError(
                "towers", f"unknown tower {tower!r}", nearest(tower, TOWERS)
            )
    if not sites:
        raise UserError("sites", "no site to gate", f"Choose from {', '.join(SITES)}")
    for site in sites:
        if site not in SITES:
            raise UserError("sites", f"unknown site {site!r}", nearest(site, SITES))
    units = {
        site_name(tower, site): widths(tower_shape, site)
        for tower, tower_shape in shape.towers().items()
        for site in SITES
        if site in sites and tower in towers
    }
    if pool and has_pool(shape) and "image" in towers:
        units |= {site_name("image", site): widths(shape.image, site) for site in POOL}
    return units
