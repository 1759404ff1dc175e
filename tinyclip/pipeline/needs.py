"""What the objectives of a recipe need beside features, and whether it can be had."""

from __future__ import annotations

from collections.abc import Iterator

from ..config.objectives import weight_of
from ..config.phases.phase import DROPPED, PhaseSettings, TrainingSettings
from ..config.place import Place
from ..config.schema import Recipe
from ..errors import UserError
from ..losses.needs import Need
from ..losses.objectives import objectives, settle


def needs_of_phase(phase: PhaseSettings, where: Place) -> dict[str, Need]:
    """What the objectives of a phase need, by their names."""
    return {
        objective.name: objective.need
        for objective in settle(phase.objectives, where)
        if objective.weight and objective.need is not None
    }


def needs_of(recipe: Recipe) -> list[Need]:
    """What the objectives of all phases that run need."""
    return [need for _, _, need in _named(recipe)]


def _named(recipe: Recipe) -> Iterator[tuple[Place, str, Need]]:
    for number, stage in enumerate(recipe.stages):
        place = Place().key("stages").item(number)
        for phase, settings in stage.running().items():
            where = place.key(phase).key("losses")
            for name, need in needs_of_phase(settings, where).items():
                yield where.key(name), name, need


def refuse_unprovided(recipe: Recipe) -> None:
    """Refuse objectives that need what the run will not have.

    Raises:
        UserError: which, what it needs, and what to set instead.
    """
    _refuse_other_teachers(recipe)
    stored = recipe.cache is not None or recipe.cache_teacher == "always"
    for where, name, need in _named(recipe):
        if need.runs_teacher and stored:
            cause = "cache" if recipe.cache is not None else "cache_teacher: always"
            raise UserError(
                str(where),
                f"{name} needs {need.what} of the teacher, and the cache that {cause} "
                "asks for holds features alone",
                f"Leave {cause} out, or take {name} out",
            )
        if need.looks_around and recipe.cache_teacher == "never":
            raise UserError(
                str(where),
                f"{name} needs {need.what}, which are found among the teacher's cached "
                "features, and cache_teacher is 'never'",
                f"Leave cache_teacher out, or take {name} out",
            )


def _refuse_other_teachers(recipe: Recipe) -> None:
    """Refuse what only one teacher, or only the run's, can give where others teach."""
    for number, stage in enumerate(recipe.stages):
        place = Place().key("stages").item(number)
        for phase, settings in stage.running().items():
            if isinstance(settings, TrainingSettings):
                _refuse_dropped(settings, place.key(phase))
                makes = bool(recipe.more_teachers)
                _refuse_of_phase(settings, number, place.key(phase), makes)


def _refuse_dropped(phase: TrainingSettings, where: Place) -> None:
    if phase.dropped != DROPPED and phase.teachers != "all_stages":
        raise UserError(
            str(where.key("dropped")),
            f"drops earlier students, and teachers is {phase.teachers}",
            "Set teachers: all_stages, or leave it out",
        )


def _refuse_of_phase(
    phase: TrainingSettings, earlier: int, where: Place, makes: bool
) -> None:
    """What one phase asks of those who teach it.

    Args:
        makes: whether teachers of other makes stand beside the run's.
    """
    makes = makes and phase.asks_run_teacher(earlier)
    if not makes and not phase.earlier_teachers(earlier):
        return
    several = phase.asks_run_teacher(earlier)
    losses = where.key("losses")
    cause = "more_teachers" if makes else "teachers"
    for name, asked in phase.losses.items():
        if (
            makes
            and weight_of(asked)
            and (objectives.compared.get(name) == "embeddings")
        ):
            raise UserError(
                str(losses.key(name)),
                f"{name} compares embeddings, and a teacher of another make has a "
                "space of its own",
                f"Use mimic or affinity, which compare similarities, or leave {cause} "
                "out",
            )
    for name, need in needs_of_phase(phase, losses).items():
        if need.looks_around or (several and need.runs_teacher):
            raise UserError(
                str(losses.key(name)),
                f"{name} needs {need.what} of the run's teacher alone, and others "
                "teach, too",
                f"Leave {cause} out, or take {name} out",
            )
