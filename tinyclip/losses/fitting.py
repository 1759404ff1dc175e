"""Whether the objectives of a recipe fit its teacher, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from ..config.place import Place
from ..config.schema import Recipe
from ..errors import UserError
from ..shapes import ClipShape
from .misfits import misfits
from .objectives import Weighted, settle


def refuse_misfits(recipe: Recipe, teacher: ClipShape, where: Place) -> None:
    """Refuse objectives that do not fit the teacher, of the phases that run.

    Raises:
        UserError: which one, and why.
    """
    for place, objective in _asked(recipe, where):
        name = objective.name
        if name in misfits and (why := misfits.get(name, str(place))(teacher)):
            todo = "Use mimic, which asks for what the teacher has"
            raise UserError(str(place), why, todo)
        if objective.of_shapes:
            _refuse_unmade(objective, teacher, place)


def _asked(recipe: Recipe, where: Place) -> Iterator[tuple[Place, Weighted]]:
    """Objectives with a weight, and the places that name them."""
    for number, stage in enumerate(recipe.stages):
        of_stage = where.key("stages").item(number)
        for phase, settings in stage.running().items():
            place = of_stage.key(phase).key("losses")
            for objective in settle(settings.objectives, place):
                if objective.weight:
                    yield place.key(objective.name), objective


def _refuse_unmade(objective: Weighted, teacher: ClipShape, where: Place) -> None:
    """Refuse options that one made for shapes cannot have: students have as many tokens
    as their teacher.

    Raises:
        UserError: it says why.
    """
    try:
        objective.built(teacher, teacher, seed=0)
    except UserError as error:
        raise UserError(str(where), error.what, error.todo) from None
