"""`tinyclip.compress`: the main job from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from ..config.check import in_words, leaf
from ..config.family import with_shares
from ..config.load import load_recipe, stages_from
from ..config.options import path_from, with_values
from ..config.place import Place
from ..config.schema import Recipe, Stage
from ..config.tasks import on_other_pairs
from ..errors import UserError
from .request import Request
from .run_dir import RunDir
from .scheduler import execute

CALLER = "compress"


def compress(
    recipe: str | Path | Recipe | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    target: float | None = None,
    stages: int | Sequence[Mapping[str, Any] | Stage] | None = None,
    family: Sequence[float] | None = None,
    **settings: Any,
) -> RunDir:
    """Run a recipe to its end; returns the run, whose `model` is the last student's.

    Args:
        recipe: a shipped name, a YAML file, or a `Recipe`; without one `demo`, or for a
            family `cut`.
        out: folder of the run; `runs/<recipe>` without one.
        resume: go on with the run in `out`.
        target: share of the teacher that is left at the end, in equal steps.
        stages: in how many stages, 1 to 10; or the stages themselves, as a recipe has
            them: `[{"use": "distil", "target": 0.5}]`.
        family: shares of the teacher, largest first: nested students, each cut from the
            teacher itself.
        settings: settings of the recipe, as values: `teacher="openclip:..."`, `seed=1`,
            `towers=("image",)`, `vocab=None`; `data` takes a source, or a table of
            those of its settings that change.

    Raises:
        UserError: something of the input is wrong.
        Interrupted: a signal asked to stop; the state is saved.
    """
    count = _count(stages)
    if stages is not None and count is None:
        _refuse_sizes(target, family)
        settings["stages"] = stages
    if recipe is None:
        recipe = "demo" if family is None else "cut"
    recipe = _changed(recipe, settings)
    if target is not None:
        target = leaf(float, target, Place("", "target"), {})
    recipe = with_shares(recipe, target, count, family, typed="")
    folder = (
        Path("runs") / recipe.name if out is None else path_from(out, f"{CALLER}: out")
    )
    return execute(Request(folder, recipe, resume))


def _refuse_sizes(target: Any, family: Any) -> None:
    """The stages themselves have their targets in them.

    Raises:
        UserError: there is another word of sizes.
    """
    todo = "Write a target into each of them"
    if target is not None:
        what = "goes with a number of stages, not with the stages themselves"
        raise UserError(f"{CALLER}: target", what, todo)
    if family is not None:
        what = "makes stages of its own, and does not go with others"
        raise UserError(f"{CALLER}: family", what, todo)


def _count(stages: Any) -> int | None:
    """In how many stages, if it is that which was given.

    Raises:
        UserError: neither that nor the stages themselves.
    """
    if isinstance(stages, Integral) and not isinstance(stages, bool):
        return int(stages)
    if stages is None or isinstance(stages, list | tuple):
        return None
    what = f"wants a whole number, or a list of stages, not {in_words(stages)}"
    raise UserError(f"{CALLER}: stages", what)


def _changed(recipe: Any, settings: dict[str, Any]) -> Recipe:
    """The recipe that is meant, with settings of its own changed.

    Raises:
        UserError: it is none, or a setting does not fit it.
    """
    if isinstance(recipe, Recipe):
        if settings:
            raise UserError(
                CALLER, "settings go with a recipe's name, not with a Recipe"
            )
        return recipe
    if not isinstance(recipe, str | os.PathLike):
        what = "wants the name of a recipe, a file or a Recipe"
        raise UserError(CALLER, f"{what}, not {in_words(recipe)}")
    name = os.fspath(recipe)
    own = load_recipe(name)
    if "stages" in settings:
        at = Place(CALLER, "stages")
        settings = {**settings, "stages": stages_from(settings["stages"], at, Path())}
    changed = with_values(own, settings, CALLER)
    return on_other_pairs(name, own.data.source, changed, list(settings))
