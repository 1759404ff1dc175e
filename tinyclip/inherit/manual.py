"""Inheritance by hand, as the original does it: no importance at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..config.schema import Manual
from ..errors import UserError
from ..goal import SizeGoal
from ..keep import ClipKeep, Keep, TowerKeep
from ..masks.choose import solve_counts
from ..masks.goal import make_goal
from ..masks.ranking import Ranking
from ..masks.sites import layout
from ..shapes import TOWERS, ClipShape, TowerShape
from ..sites import GROUPS


def manual_keep(shape: ClipShape, size_goal: SizeGoal, manual: Manual) -> ClipKeep:
    """Evenly spaced layers, and leading or evenly spaced units of every site.

    All sites shrink by the same factor, which meets the budget within 0.5 %. A model
    whose layers are alike, with heads that fill its width, stays like that, and any
    other becomes so where the layout is uniform.

    Args:
        manual: how many layers stay, and which units.

    Raises:
        UserError: more layers are asked for than there are, or of a tower that is not
            named, or the size is out of reach.
    """
    size_goal = size_goal.against(shape)
    layers = {
        name: _layers(
            name, tower, getattr(manual, f"{name}_layers"), name in size_goal.towers
        )
        for name, tower in shape.towers().items()
    }
    depth = {name: TowerKeep({}, kept) for name, kept in layers.items()}
    shallow = ClipKeep(**depth).cut(shape)
    if all(tower.is_uniform for tower in shallow.towers().values()):
        size_goal = replace(size_goal, layout="uniform")
    gated = layout(shallow, towers=size_goal.towers, pool=size_goal.uniform)
    # gates that are all alike: every site keeps the same share
    alike = {name: np.zeros(sum(totals)) for name, totals in gated.items()}
    goal = make_goal(
        shallow, size_goal, {name: Ranking(zero, zero) for name, zero in alike.items()}
    )
    units = goal.units()
    counts = solve_counts(goal, {name: alike[name] for name in goal.gated})
    kept: dict[str, dict[str, tuple[Keep, ...]]] = {name: {} for name in TOWERS}
    for name, totals in units.items():
        numbers = apportion(counts[name], totals, goal.step(name))
        kept[GROUPS[name].tower][GROUPS[name].key] = tuple(
            Keep(pick_units(number, total, manual.units), total)
            for number, total in zip(numbers, totals, strict=True)
        )
    return ClipKeep(**{n: TowerKeep(keeps, layers[n]) for n, keeps in kept.items()})


def pick_units(count: int, total: int, how: str) -> tuple[int, ...]:
    """`count` of `total` indices: the leading ones, or evenly spaced."""
    if how == "leading":
        return tuple(range(count))
    return tuple(int(i) for i in (np.arange(count) + 0.5) * total / max(1, count))


def apportion(count: int, totals: Sequence[int], step: int = 1) -> list[int]:
    """`count` units over layers in proportion to their widths (largest remainders).

    Args:
        step: of which every number is a multiple.
    """
    teams = [total // step for total in totals]
    whole, count = sum(teams), count // step
    if whole == 0:
        return [0] * len(totals)
    shares = [count * team / whole for team in teams]
    numbers = [int(share) for share in shares]
    by_rest = sorted(range(len(totals)), key=lambda i: (numbers[i] - shares[i], i))
    for i in by_rest[: count - sum(numbers)]:
        numbers[i] += 1
    return [number * step for number in numbers]


def _layers(name: str, tower: TowerShape, count: int | None, named: bool) -> Keep:
    """Evenly spaced layers, the first and the last among them."""
    total = len(tower.blocks)
    check_layers(f"manual.{name}_layers", name, total, count, named)
    if count is None:
        return Keep.everything(total)
    places = np.rint(np.linspace(0, total - 1, count)) if count > 1 else [total - 1]
    return Keep(tuple(int(place) for place in places), total)


def check_layers(
    where: str, name: str, total: int, count: int | None, named: bool
) -> None:
    """Refuse a number of layers that a tower cannot keep.

    Args:
        where: the setting.
        name: of the tower, which has `total` layers.
        count: how many are to stay; None is all.
        named: whether the tower is one of those that shrink.

    Raises:
        UserError: they are more than there are, or of a tower that stays as it is.
    """
    if count is None:
        return
    if not named:
        raise UserError(
            where,
            f"the {name} tower stays as it is: it is not among the towers",
            f"Leave {where} out, or name the tower",
        )
    if count > total:
        raise UserError(
            where,
            f"{count} layers of the {total} that there are",
            f"Give 1 to {total}",
        )
