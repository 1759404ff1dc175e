"""The stages of a recipe as one descent: targets, phases, objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import UserError
from .objectives import weight_of
from .place import Place
from .schema import PHASES, START, Recipe, Stage

MOST_STAGES = 10


def ladder(target: Any, stages: Any, typed: str = "--") -> list[float]:
    """The shares of a descent to `target` in equal steps: 1 - k(1 - T)/N.

    Args:
        target: share of the teacher that is left at the end, as a user wrote it.
        stages: in how many stages.
        typed: what stood before the names of both where the user typed them.

    Raises:
        UserError: a target outside (0, 1), or stages outside 1 to 10.
    """
    share = share_from(target, f"{typed}target", "Try 0.25")
    try:
        count = int(str(stages))
    except ValueError:
        raise UserError(
            f"{typed}stages", f"{stages!r} is no whole number", "Try 3"
        ) from None
    if not 1 <= count <= MOST_STAGES:
        raise UserError(
            f"{typed}stages", f"{count} is not between 1 and {MOST_STAGES}", "Try 3"
        )
    # rounded so that 0.775 is written as 0.775; the last one is the target itself
    steps = [round(1 - k * (1 - share) / count, 10) for k in range(1, count)]
    return [*steps, share]


def share_from(written: Any, where: str, todo: str) -> float:
    """A share of the teacher as a user wrote it.

    Raises:
        UserError: it is no number, or outside (0, 1).
    """
    try:
        share = float(written)
    except (TypeError, ValueError):
        raise UserError(where, f"{written!r} is no number", todo) from None
    if not 0 < share < 1:
        raise UserError(where, f"{written} is not between 0 and 1", todo)
    return share


def rebuild_ladder(
    recipe: Recipe, target: Any, stages: Any, typed: str = "--"
) -> Recipe:
    """The recipe with other targets; stage k keeps the settings of its entry k.

    Further stages take the settings of the last entry. Without a target the recipe's
    own last one is meant, without a number of stages its own.

    Args:
        typed: as `ladder`.

    Raises:
        UserError: as `ladder`; or a stage that it needs does not shrink the model.
    """
    entries = recipe.stages
    target = entries[-1].target if target is None else target
    stages = len(entries) if stages is None else stages
    if target is None:
        raise UserError(f"{typed}target", "the recipe has none of its own", "Try 0.25")
    descent = tuple(
        replace(entries[min(index, len(entries) - 1)], target=share)
        for index, share in enumerate(ladder(target, stages, typed))
    )
    for number, stage in enumerate(descent, start=1):
        if not stage.cuts:
            raise UserError(
                f"{typed}target",
                f"stage {number} of the recipe {recipe.name!r} only distils; it "
                "cannot make the model smaller",
                "Use another recipe: tinyclip recipes ls",
            )
    rebuilt = replace(recipe, stages=descent)
    check_descent(rebuilt, Place(f"{typed}target"))
    return rebuilt


def check_descent(recipe: Recipe, where: Place) -> None:
    """What no leaf can know alone.

    Raises:
        UserError: no stage or too many, targets that do not go down, phases that make
            no sense together, objectives without weight, a name that is no folder.
    """
    if not recipe.name.strip(". ") or {"/", "\\", "\0"} & set(recipe.name):
        raise UserError(
            str(where.key("name")),
            f"{recipe.name!r} cannot name a folder",
            "Use letters, digits, '-' and '_'",
        )
    at = where.key("stages")
    if not recipe.stages:
        raise UserError(str(at), "there is none", "Add at least one")
    if len(recipe.stages) > MOST_STAGES:
        raise UserError(
            str(at), f"there are {len(recipe.stages)}", f"At most {MOST_STAGES} work"
        )
    if recipe.vocab is not None and not recipe.vocab.strip():
        raise UserError(
            str(where.key("vocab")),
            "names no file",
            "Name one of texts, or captions; leave it out to keep every token",
        )
    check_once(recipe.towers, where.key("towers"), "tower")
    member = START  # the last student that was cut from the teacher itself
    for index, (stage, span) in enumerate(
        zip(recipe.stages, recipe.spans, strict=True)
    ):
        check_stage(stage, at.item(index))
        _check_target(stage, span[0], at.item(index).key("target"))
        if stage.from_teacher:
            _check_member(stage, member, at.item(index))
            member = span[1]


def _check_member(stage: Stage, larger: float, where: Place) -> None:
    """A student of the teacher itself is smaller than those before it."""
    if not stage.cuts:
        raise UserError(
            str(where.key("start")),
            "is teacher, and the stage cuts nothing",
            "Add inherit to the phases, or leave start out",
        )
    assert stage.target is not None
    if stage.target >= larger:
        raise UserError(
            str(where.key("target")),
            f"{stage.target:g} is not below {larger:g}, the student before it",
            "Students of the teacher itself come largest first: smaller ones are "
            "nested in them",
        )


def _check_target(stage: Stage, share: float, where: Place) -> None:
    """The target of a stage which starts at `share`."""
    if not stage.cuts:
        if stage.target not in (None, share):
            raise UserError(
                str(where),
                f"is {stage.target:g}, but without inheriting the model stays at "
                f"{share:g}",
                "Leave the target out, or add inherit to the phases",
            )
        return
    if stage.target is None:
        raise UserError(
            str(where), "is missing", "Say which share of the teacher is left: 0.25"
        )
    if stage.target >= share:
        raise UserError(
            str(where),
            f"{stage.target:g} is not below {share:g}, where the stage starts",
            "Targets are shares of the run's teacher and go down",
        )


def check_once(names: Sequence[str], where: Place, kind: str) -> None:
    """Refuse a list that is empty, or names something twice."""
    if not names or len(set(names)) < len(names):
        raise UserError(str(where), f"wants each {kind} once, at least one")


def check_stage(stage: Stage, where: Place) -> None:
    """What the leaves of one stage cannot know alone.

    Raises:
        UserError: phases that make no sense together, objectives without weight, a
            batch in more pieces than it has pairs.
    """
    at = str(where.key("phases"))
    if not stage.phases:
        raise UserError(at, "there is none", f"Known: {', '.join(PHASES)}")
    if list(stage.phases) != [name for name in PHASES if name in stage.phases]:
        raise UserError(
            at,
            f"{', '.join(stage.phases)} is not in order",
            f"Each at most once, in this order: {', '.join(PHASES)}",
        )
    _check_order(stage, at)
    _check_closed_form(stage, at)
    check_once(stage.sites, where.key("sites"), "site")
    if stage.accumulate > stage.batch:
        raise UserError(
            str(where.key("accumulate")),
            f"a batch of {stage.batch} pairs cannot go through in {stage.accumulate} "
            "pieces",
            "Use fewer pieces, or a larger batch",
        )
    for name, phase in stage.running().items():
        if phase.trained_steps and not any(map(weight_of, phase.objectives.values())):
            raise UserError(
                str(where.key(name).key("losses")),
                "no objective has a weight above 0",
                "Try {mimic: 1.0}",
            )


def _check_order(stage: Stage, where: str) -> None:
    """What cuts needs exactly one choice before it, and every choice a cut."""
    chosen = 0
    for phase in stage.running().values():
        if phase.cuts and chosen != 1:
            break
        chosen = 0 if phase.cuts else chosen + phase.chooses
    else:
        if not chosen:
            return
    choosing = [name for name, phase in PHASES.items() if phase.chooses]
    cutting = " or ".join(name for name, phase in PHASES.items() if phase.cuts)
    raise UserError(
        where,
        f"{', '.join(stage.phases)} cannot work",
        f"{cutting} needs exactly one of {', '.join(choosing[:-1])} and "
        f"{choosing[-1]} before it, and each of those needs {cutting} after it",
    )


def _check_closed_form(stage: Stage, where: str) -> None:
    """What is solved needs a cut of weights that did not learn to do without."""
    rotated = cut = learned = False
    for name, phase in stage.running().items():
        if phase.needs_rotation and not rotated:
            raise UserError(
                where,
                f"{name} ranks directions, and the model is not turned into any",
                "Put rotate before it",
            )
        if phase.solves and not cut:
            raise UserError(
                where, f"{name} has no cut to make up for", "Put inherit before it"
            )
        if phase.solves and learned:
            raise UserError(
                where,
                f"{name} tells what went by what stays, and weights that were trained "
                "beside gates have learned to do without it",
                f"Set learn.train_weights: false, or leave {name} out",
            )
        rotated, cut = rotated or phase.rotates, cut or phase.cuts
        learned = learned or (phase.trains_weights and not cut)
