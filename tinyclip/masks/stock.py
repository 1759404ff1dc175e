"""What a tower may be as a stock configuration: layers alike, and a width filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..shapes import TowerShape
from ..sites import (
    DIMS,
    FILLING,
    FINEST,
    USUAL,
    WIDTH,
    Site,
    blocks_of,
    key_of,
    units_of,
)
from .goal import Counts, Goal

BLOCK = (FILLING.name, FINEST.name)  # what it has in every block


@dataclass(frozen=True)
class Stock:
    """The layers that a uniform tower may have.

    Args:
        filling: numbers a layer of the units that fill the width, ascending: heads, or
            the dims of each head where dims are gated; then heads stay whole.
        finest: the least and the most a layer of the finest units.
    """

    filling: tuple[int, ...]
    finest: tuple[int, int]


def stocks(goal: Goal) -> dict[str, Stock]:
    """What each tower may be in a uniform student; one that is not named, as it is.

    Raises:
        UserError: a tower cannot be uniform, with the reason.
    """
    _check_pool(goal)
    towers = goal.shape.towers()
    return {
        name: Stock(_filling(goal, name, tower), _finest(goal, name, tower))
        for name, tower in towers.items()
    }


def counts_of(goal: Goal, numbers: dict[str, tuple[Any, Any]]) -> Counts:
    """Units in all at every site of a uniform CLIP.

    Args:
        numbers: units a layer of `filling_site` and of the finest site, by tower: ints,
            or arrays of candidates.
    """
    counts: Counts = {}
    for name, tower in goal.shape.towers().items():
        filling, beside = filling_site(goal, name)
        sites = (filling.name, FINEST.name)
        for site, number in zip(sites, numbers[name], strict=True):
            counts[f"{name}_{site}"] = number * len(tower.blocks)
            if goal.cuts_pool and blocks_of(tower, "pool"):  # alike the layers
                counts[f"{name}_{key_of(site, 'pool')}"] = number
        each = _each(name, tower, beside)
        counts[f"{name}_{beside.name}"] = each * len(tower.blocks)
        width = numbers[name][0] * each
        counts[f"{name}_{WIDTH.name}"] = width - (tower.stock_width - tower.width)
    return counts


def filling_site(goal: Goal, name: str) -> tuple[Site, Site]:
    """The units that are chosen to fill a tower's width, and those that stay as they
    are beside them: heads of so many dims, or the dims of so many heads."""
    return (DIMS, FILLING) if is_gated(goal, name, DIMS.name) else (FILLING, DIMS)


def _each(name: str, tower: TowerShape, site: Site) -> int:
    """The units of a site that stays as it is, alike in every layer.

    Raises:
        UserError: the layers differ.
    """
    numbers = set(units_of(tower, site.name)) or {1}
    if len(numbers) > 1:
        raise not_uniform(name, f"its layers differ in {site.name}")
    return int(*numbers)


def is_gated(goal: Goal, tower: str, *keys: str) -> bool:
    return any(f"{tower}_{key}" in goal.gated for key in keys)


def _check_pool(goal: Goal) -> None:
    """A pool can only become like layers that shrink if its units are ranked, too."""
    pool = [key_of(site, "pool") for site in BLOCK]
    shrinks = is_gated(goal, "image", *BLOCK, DIMS.name, WIDTH.name)
    if goal.cuts_pool and goal.shape.image.rotated:
        raise UserError(
            "layout",
            "the image tower cannot be uniform: its attention pool keeps its "
            "full width beside the rotated stream",
            "Use --layout ragged, or leave the rotate phase out",
        )
    if goal.cuts_pool and shrinks and not all(is_gated(goal, "image", k) for k in pool):
        raise UserError(
            "layout",
            "a uniform student's attention pool is cut like its layers, and its units "
            "are not ranked",
            "Gate them, Gates(model, pool=True), or give scores of "
            + " and ".join(f"image_{key}" for key in pool),
        )


def _numbers(tower: TowerShape, site: Site) -> tuple[set[int], set[int]]:
    """The different numbers of a site's units in the blocks, and in the pool."""
    layers, pool = set(units_of(tower, site.name)), key_of(site.name, "pool")
    has_pool = site.pooled and blocks_of(tower, "pool")
    return layers, set(units_of(tower, pool)) if has_pool else set()


def _filling(goal: Goal, name: str, tower: TowerShape) -> tuple[int, ...]:
    """Units a layer, side by side as wide as the tower, that a uniform one may have."""
    filling, beside = filling_site(goal, name)
    width, step = _each(name, tower, beside), goal.step(f"{name}_{WIDTH.name}")
    layers, pool = _numbers(tower, filling)
    most = min([tower.stock_width // width, *layers, *pool])
    allowed = set(range(1, most + 1))
    if not is_gated(goal, name, WIDTH.name):
        allowed &= {tower.stock_width / width}
    if not is_gated(goal, name, filling.name):
        allowed &= layers if len(layers) == 1 else set()
    if pool and not is_gated(goal, name, key_of(filling.name, "pool")):
        allowed &= pool
    filled = f"{filling.name} × {width}"
    if not allowed:
        raise not_uniform(name, f"{filled} must equal {WIDTH.name} in every layer")
    rounded = sorted(int(number) for number in allowed if number * width % step == 0)
    if not rounded:
        raise UserError(
            "round_to",
            f"no number of {filling.name} up to {most} makes the {name} tower's "
            f"{WIDTH.name} width, {filled}, a multiple of {step}",
            "Use a smaller --round-to, or --layout ragged",
        )
    return tuple(rounded)


def _finest(goal: Goal, name: str, tower: TowerShape) -> tuple[int, int]:
    """The least and the most of the finest units a layer of a uniform tower."""
    site = FINEST.name
    step = goal.step(f"{name}_{site}")
    layers, pool = _numbers(tower, FINEST)
    most = min([*layers, *pool], default=0)
    if not is_gated(goal, name, site):
        if len(layers) > 1 or most not in layers:
            raise not_uniform(name, f"its layers differ in {site}, which is not gated")
        if pool - {most} and not is_gated(goal, name, key_of(site, "pool")):
            raise not_uniform(name, f"its pool's {site} is not its layers'")
        return most, most
    if most == 0 and layers:
        raise not_uniform(name, f"a layer has no {FINEST.unit} left")
    if most < step and layers:
        raise UserError(
            "round_to",
            f"a layer of the {name} tower has {most} {FINEST.unit}s, fewer than {step}",
            "Use a smaller --round-to, or --layout ragged",
        )
    return step, most - most % step


def not_uniform(name: str, why: str) -> UserError:
    return UserError(
        "layout",
        f"the {name} tower cannot be uniform: {why}",
        f"Gate {', '.join(USUAL[:-1])} and {USUAL[-1]} of the {name} tower, or use "
        "--layout ragged",
    )
