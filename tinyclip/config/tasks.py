"""The tasks of a recipe that is run on other pairs than its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from . import shelf
from .schema import Recipe

log = logging.getLogger("tinyclip")


def on_other_pairs(
    name: str, own: str, recipe: Recipe, overrides: Sequence[str]
) -> Recipe:
    """A recipe whose pairs may have been exchanged.

    The tasks that a shipped recipe names are those of the pairs it ships with. On
    others the usual ones that those offer are measured, unless the user names some;
    this is said.

    Args:
        name: the recipe, as the user has it.
        own: the pairs that it names itself.
        recipe: with the pairs that are used.
        overrides: settings that the user gave, `a.b=v` or their names.
    """
    tasks_named = any(
        setting.partition("=")[0].strip() == "tasks" for setting in overrides
    )
    same_pairs = recipe.data.source == own
    if (
        same_pairs
        or tasks_named
        or not recipe.tasks
        or name not in shelf.names("recipes")
    ):
        return recipe
    log.warning(
        "recipe %s measures %s, of its own pairs; of %s the usual tasks are measured "
        "(choose with --set tasks=[...])",
        name,
        ", ".join(recipe.tasks),
        recipe.data.source,
    )
    return replace(recipe, tasks=())
