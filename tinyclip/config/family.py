"""A family: nested students of several sizes, each cut from the teacher itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..errors import UserError
from .check import in_words
from .ladder import check_descent, rebuild_ladder, share_from
from .phases.phase import PhaseSettings
from .place import Place
from .schema import Recipe
from .stage import PHASES

TRY = "Try 0.75,0.5,0.25"


def family_of(recipe: Recipe, shares: Any, typed: str = "--") -> Recipe:
    """The recipe with one stage a share, each of which starts from the teacher.

    Stage k keeps the settings of the recipe's entry k, further ones those of the last.

    Args:
        shares: of the teacher, largest first: numbers, or text with commas.
        typed: what stood before `family` where the user typed it.

    Raises:
        UserError: a share is no number or outside (0, 1), there are fewer than two or
            they do not go down, or a stage chooses nothing that can be nested.
    """
    where = f"{typed}family"
    targets = [share_from(share, where, TRY) for share in _listed(shares, where)]
    if len(targets) < 2:
        one = targets[0] if targets else 0.25
        raise UserError(
            where,
            "wants two shares at least",
            f"{TRY}; one student is made by {typed}target {one:g}",
        )
    for larger, smaller in zip(targets, targets[1:], strict=False):
        if smaller >= larger:
            raise UserError(
                where,
                f"{smaller:g} is not below {larger:g}, the share before it",
                f"Write them largest first: {TRY[4:]}",
            )
    entries = recipe.stages
    members = tuple(
        replace(entries[min(place, len(entries) - 1)], target=share, start="teacher")
        for place, share in enumerate(targets)
    )
    for number, stage in enumerate(members, start=1):
        if not stage.nests:
            nesting = " or ".join(_that_nest())
            raise UserError(
                where,
                f"stage {number} of the recipe {recipe.name!r} does not choose its "
                f"units by {nesting}, so that students would not be nested",
                "Use the recipe cut, or one whose phases are [rotate, allocate, "
                "inherit, solve, distil]",
            )
    rebuilt = replace(recipe, stages=members)
    check_descent(rebuilt, Place(where))
    return rebuilt


def with_shares(
    recipe: Recipe, target: Any, stages: Any, family: Any, typed: str = "--"
) -> Recipe:
    """The recipe with the sizes that a user asked for: one in steps, or a family.

    Args:
        target, stages, family: as typed; None where nothing was.
        typed: what stood before their names where the user typed them.

    Raises:
        UserError: as `family_of` and `rebuild_ladder`; or both were asked for.
    """
    in_steps = {"target": target, "stages": stages}
    also = [f"{typed}{name}" for name, value in in_steps.items() if value is not None]
    if family is None:
        return rebuild_ladder(recipe, target, stages, typed) if also else recipe
    if also:
        raise UserError(
            f"{typed}family",
            f"does not go with {' and '.join(also)}",
            "A family names its sizes, and each is one stage",
        )
    return family_of(recipe, family, typed)


def _listed(shares: Any, where: str) -> list[Any]:
    """The shares one by one, whoever wrote them."""
    if isinstance(shares, str):
        return [part.strip() for part in shares.split(",")]
    if isinstance(shares, Iterable):
        return list(shares)
    raise UserError(where, f"wants shares, not {in_words(shares)}", TRY)


def _that_nest() -> list[str]:
    kinds: dict[str, type[PhaseSettings]] = dict(PHASES)
    return [name for name, kind in kinds.items() if kind.nests]
