"""`tinyclip.compress`: the main job from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config.load import load_recipe, rebuild_ladder
from ..config.options import with_values
from ..config.schema import Recipe
from ..config.tasks import on_other_pairs
from ..errors import UserError
from .request import Request
from .run_dir import RunDir
from .scheduler import execute


def compress(
    recipe: str | Recipe = "demo",
    *,
    out: str | Path | None = None,
    resume: bool = False,
    target: float | None = None,
    stages: int | None = None,
    **settings: Any,
) -> RunDir:
    """Run a recipe to its end; returns the run, whose `model` is the last student's.

    Args:
        recipe: a shipped name, a YAML file, or a `Recipe`.
        out: folder of the run; `runs/<recipe>` without one.
        resume: go on with the run in `out`.
        target, stages: another ladder than the recipe's.
        settings: settings of the recipe, as values: `teacher="openclip:..."`, `seed=1`,
            `towers=("image",)`, `vocab=None`; `data` takes a source, or a table of
            those of its settings that change.

    Raises:
        UserError: something of the input is wrong.
        Interrupted: a signal asked to stop; the state is saved.
    """
    if isinstance(recipe, str):
        own = load_recipe(recipe)
        changed = with_values(own, settings, "compress")
        recipe = on_other_pairs(recipe, own.data.source, changed, list(settings))
    elif settings:
        raise UserError(
            "compress", "settings go with a recipe's name, not with a Recipe"
        )
    if target is not None or stages is not None:
        recipe = rebuild_ladder(recipe, target, stages, typed="")
    folder = Path(out) if out else Path("runs") / recipe.name
    return execute(Request(folder, recipe, resume))
