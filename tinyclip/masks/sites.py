"""How the units that are gated lie in flat vectors: one vector a tower and site.

Those of all blocks lie one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UserError, nearest
from ..shapes import TOWERS, ClipShape
from ..sites import GROUPS, SITES, USUAL, blocks_of, units_of

Layout = dict[str, tuple[int, ...]]  # units of each block, by the name of the site


def layout(
    shape: ClipShape,
    sites: Sequence[str] = USUAL,
    towers: Sequence[str] = TOWERS,
    pool: bool = False,
) -> Layout:
    """Units a block of every gated site, by its name.

    Args:
        pool: gate the units of the attention pool too, if there is one: only a uniform
            student has to cut them. They are, whatever `sites` says.

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
    shapes = shape.towers()
    return {
        name: units_of(shapes[group.tower], group.key)
        for name, group in GROUPS.items()
        if group.tower in towers
        if (pool and blocks_of(shapes[group.tower], group.part)) or not group.part
        if group.part or group.site.name in sites
    }
