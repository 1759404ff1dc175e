"""Objectives that do not fit every teacher."""

from __future__ import annotations

from collections.abc import Callable

from ..config.objectives import weight_of
from ..config.place import Place
from ..config.schema import Recipe
from ..errors import UserError
from ..registry import Registry
from ..shapes import ClipShape

# of an objective that does not fit every teacher: why it does not fit one, or ""
misfits: Registry[Callable[[ClipShape], str]] = Registry("objective")


def refuse_misfits(recipe: Recipe, teacher: ClipShape, where: Place) -> None:
    """Refuse objectives that do not fit the teacher, of the phases that run.

    Raises:
        UserError: which one, and why.
    """
    asked = (
        (name, where.key("stages").item(number).key(phase).key("losses"))
        for number, stage in enumerate(recipe.stages)
        for phase, settings in stage.running().items()
        for name, objective in settings.objectives.items()
        if weight_of(objective) and name in misfits
    )
    for name, place in asked:
        if why := misfits.get(name, str(place))(teacher):
            todo = "Use mimic, which asks for what the teacher has"
            raise UserError(str(place.key(name)), why, todo)
