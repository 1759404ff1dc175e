"""How the units of a tower lie in flat vectors: one vector a tower and site.

A site is named `image_heads`, `text_embed` and so on; heads and ffn hold the units of
all layers one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import UserError, nearest
from ..shapes import ClipShape, TowerShape

TOWERS = ("image", "text")
SITES = ("heads", "ffn", "embed")


def site_name(tower: str, site: str) -> str:
    return f"{tower}_{site}"


def widths(tower: TowerShape, site: str) -> tuple[Any, ...]:
    """How many units each layer has; the embed site has one vector a tower."""
    if site == "embed":
        return (tower.width,)
    return tuple(getattr(block, site) for block in tower.blocks)


def layout(
    shape: ClipShape, sites: Sequence[str] = SITES
) -> dict[str, tuple[int, ...]]:
    """Units a layer of every gated site, by its name.

    Raises:
        UserError: a site does not exist, or none was given.
    """
    if not sites:
        raise UserError("sites", "no site to gate", f"Choose from {', '.join(SITES)}")
    for site in sites:
        if site not in SITES:
            raise UserError("sites", f"unknown site {site!r}", nearest(site, SITES))
    return {
        site_name(tower, site): widths(tower_shape, site)
        for tower, tower_shape in shape.towers().items()
        for site in SITES
        if site in sites
    }
