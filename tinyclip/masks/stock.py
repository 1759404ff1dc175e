"""What a tower may be as a stock configuration: layers alike, heads that fill embed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..shapes import BlockShape, TowerShape
from ..sites import blocks_of, key_of
from .goal import Counts, Goal

EMBED, BLOCK = "embed", ("heads", "ffn")  # what a stock configuration has
FFN = BLOCK[1]


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
        for site, number in zip(BLOCK, numbers[name], strict=True):
            counts[f"{name}_{site}"] = number * len(tower.blocks)
            if goal.cuts_pool and blocks_of(tower, "pool"):  # alike the layers
                counts[f"{name}_{key_of(site, 'pool')}"] = number
        counts[f"{name}_{EMBED}"] = numbers[name][0] * tower.head_width
    return counts


def is_gated(goal: Goal, tower: str, *keys: str) -> bool:
    return any(f"{tower}_{key}" in goal.gated for key in keys)


def _check_pool(goal: Goal) -> None:
    """A pool can only become like layers that shrink if its units are ranked, too."""
    pool = [key_of(site, "pool") for site in BLOCK]
    shrinks = is_gated(goal, "image", *BLOCK, EMBED)
    if goal.cuts_pool and shrinks and not all(is_gated(goal, "image", k) for k in pool):
        raise UserError(
            "layout",
            "a uniform student's attention pool is cut like its layers, and its units "
            "are not ranked",
            "Gate them, Gates(model, pool=True), or give scores of "
            + " and ".join(f"image_{key}" for key in pool),
        )


def _pool(tower: TowerShape) -> BlockShape | None:
    return next(iter(blocks_of(tower, "pool")), None)


def _heads(goal: Goal, name: str, tower: TowerShape) -> tuple[int, ...]:
    """Heads a layer that a uniform tower may have."""
    width, step = tower.head_width, goal.step(f"{name}_{EMBED}")
    pool, layers = _pool(tower), {block.heads for block in tower.blocks}
    most = min([tower.width // width, *layers, *([pool.heads] if pool else [])])
    allowed = set(range(1, most + 1))
    if not is_gated(goal, name, EMBED):
        allowed &= {tower.width / width}  # type: ignore[arg-type]
    if not is_gated(goal, name, BLOCK[0]):
        allowed &= layers if len(layers) == 1 else set()
    if pool and not is_gated(goal, name, key_of(BLOCK[0], "pool")):
        allowed &= {pool.heads}
    if not allowed:
        raise not_uniform(name, f"heads × {width} must equal embed in every layer")
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
    step = goal.step(f"{name}_{FFN}")
    pool, layers = _pool(tower), {block.ffn for block in tower.blocks}
    most = min([*layers, *([pool.ffn] if pool else [])], default=0)
    if not is_gated(goal, name, FFN):
        if len(layers) > 1 or most not in layers:
            raise not_uniform(name, "its layers differ in ffn, which is not gated")
        if pool and pool.ffn != most and not is_gated(goal, name, key_of(FFN, "pool")):
            raise not_uniform(name, "its pool's ffn is not its layers'")
        return most, most
    if most == 0 and layers:
        raise not_uniform(name, "a layer has no ffn unit left")
    if most < step and layers:
        raise UserError(
            "round_to",
            f"a layer of the {name} tower has {most} ffn units, fewer than {step}",
            "Use a smaller --round-to, or --layout ragged",
        )
    return step, most - most % step


def not_uniform(name: str, why: str) -> UserError:
    return UserError(
        "layout",
        f"the {name} tower cannot be uniform: {why}",
        f"Gate heads, ffn and embed of the {name} tower, or use --layout ragged",
    )
