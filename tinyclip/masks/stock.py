"""What a tower may be as a stock configuration: layers alike, heads that fill embed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..shapes import BlockShape, ImageShape, TowerShape
from .goal import Counts, Goal
from .sites import POOL, site_name


@dataclass(frozen=True)
class Stock:
    """The layers that a uniform tower may have.

    Args:
        heads: numbers of heads a layer, ascending.
        ffn: the least and the most ffn units a layer.
    """

    heads: tuple[int, ...]
    ffn: tuple[int, int]


def stocks(goal: Goal) -> dict[str, Stock]:
    """What each tower may be in a uniform student; one that is not named, as it is.

    Raises:
        UserError: a tower cannot be uniform, with the reason.
    """
    _check_pool(goal)
    towers = goal.shape.towers()
    return {
        name: Stock(_heads(goal, name, tower), _ffn(goal, name, tower))
        for name, tower in towers.items()
    }


def counts_of(goal: Goal, numbers: dict[str, tuple[Any, Any]]) -> Counts:
    """Units in all at every site of a uniform CLIP.

    Args:
        numbers: heads and ffn units a layer, by tower: ints, or arrays of candidates.
    """
    counts: Counts = {}
    for name, tower in goal.shape.towers().items():
        heads, ffn = numbers[name]
        counts[site_name(name, "heads")] = heads * len(tower.blocks)
        counts[site_name(name, "ffn")] = ffn * len(tower.blocks)
        counts[site_name(name, "embed")] = heads * tower.head_width
    if goal.cuts_pool:  # alike the layers
        for site, number in zip(POOL, numbers["image"], strict=True):
            counts[site_name("image", site)] = number
    return counts


def is_gated(goal: Goal, tower: str, *sites: str) -> bool:
    return any(site_name(tower, site) in goal.gated for site in sites)


def _check_pool(goal: Goal) -> None:
    """A pool can only become like layers that shrink if its units are ranked, too."""
    shrinks = is_gated(goal, "image", "heads", "ffn", "embed")
    if goal.cuts_pool and shrinks and not all(is_gated(goal, "image", s) for s in POOL):
        raise UserError(
            "layout",
            "a uniform student's attention pool is cut like its layers, and its units "
            "are not ranked",
            "Gate them, Gates(model, pool=True), or give scores of image_pool_heads "
            "and image_pool_ffn",
        )


def _pool(tower: TowerShape) -> BlockShape | None:
    return tower.pool_block if isinstance(tower, ImageShape) else None


def _heads(goal: Goal, name: str, tower: TowerShape) -> tuple[int, ...]:
    """Heads a layer that a uniform tower may have."""
    width, step = tower.head_width, goal.step(site_name(name, "embed"))
    pool, layers = _pool(tower), {block.heads for block in tower.blocks}
    most = min([tower.width // width, *layers, *([pool.heads] if pool else [])])
    allowed = set(range(1, most + 1))
    if not is_gated(goal, name, "embed"):
        allowed &= {tower.width / width}  # type: ignore[arg-type]
    if not is_gated(goal, name, "heads"):
        allowed &= layers if len(layers) == 1 else set()
    if pool and not is_gated(goal, name, "pool_heads"):
        allowed &= {pool.heads}
    if not allowed:
        raise _not_uniform(name, f"heads × {width} must equal embed in every layer")
    rounded = sorted(int(number) for number in allowed if number * width % step == 0)
    if not rounded:
        raise UserError(
            "round_to",
            f"no number of heads up to {most} makes the {name} tower's embed width, "
            f"heads × {width}, a multiple of {step}",
            "Use a smaller --round-to, or --layout ragged",
        )
    return tuple(rounded)


def _ffn(goal: Goal, name: str, tower: TowerShape) -> tuple[int, int]:
    """The least and the most ffn units a layer of a uniform tower."""
    step = goal.step(site_name(name, "ffn"))
    pool, layers = _pool(tower), {block.ffn for block in tower.blocks}
    most = min([*layers, *([pool.ffn] if pool else [])], default=0)
    if not is_gated(goal, name, "ffn"):
        if len(layers) > 1 or most not in layers:
            raise _not_uniform(name, "its layers differ in ffn, which is not gated")
        if pool and pool.ffn != most and not is_gated(goal, name, "pool_ffn"):
            raise _not_uniform(name, "its pool's ffn is not its layers'")
        return most, most
    if most == 0 and layers:
        raise _not_uniform(name, "a layer has no ffn unit left")
    if most < step and layers:
        raise UserError(
            "round_to",
            f"a layer of the {name} tower has {most} ffn units, fewer than {step}",
            "Use a smaller --round-to, or --layout ragged",
        )
    return step, most - most % step


def _not_uniform(name: str, why: str) -> UserError:
    return UserError(
        "layout",
        f"the {name} tower cannot be uniform: {why}",
        f"Gate heads, ffn and embed of the {name} tower, or use --layout ragged",
    )
