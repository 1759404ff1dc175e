"""What a recipe has beside its pairs: who looks at it, and how much of it steps see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config.objectives import weight_of
from ..config.phases.phase import PhaseSettings
from ..config.place import Place
from ..config.schema import Recipe, Stage
from ..errors import UserError
from ..losses.objectives import objectives

KINDS = {"images": "image", "texts": "text"}  # settings, and the tower that looks


def looks_alone(phase: PhaseSettings) -> bool:
    """Whether an objective of a phase looks at each modality alone."""
    return any(
        weight_of(asked) and name in objectives.each_modality
        for name, asked in phase.objectives.items()
    )


def named(recipe: Recipe) -> list[str]:
    """The kinds that a recipe has beside its pairs."""
    return [kind for kind in KINDS if getattr(recipe.data, kind) is not None]


def per_step(recipe: Recipe, stage: Stage) -> dict[str, int]:
    """How many of each kind a step sees, of all processes together."""
    return {kind: getattr(stage, kind) or stage.batch for kind in named(recipe)}


def seen_by(recipe: Recipe, stage: Stage) -> dict[str, int]:
    """How many of each kind the phases of a stage see."""
    steps = sum(p.trained_steps for p in stage.running().values() if looks_alone(p))
    return {kind: count * steps for kind, count in per_step(recipe, stage).items()}


def asked(recipe: Recipe, kind: str) -> int:
    """How many of a kind the run's teacher is asked for."""
    return sum(
        per_step(recipe, stage)[kind] * phase.trained_steps
        for number, stage in enumerate(recipe.stages)
        for phase in stage.running().values()
        if looks_alone(phase) and phase.asks_run_teacher(number)
    )


def seen_until(recipe: Recipe, place: int) -> dict[str, int]:
    """How many of each kind a student has seen after the stage at this place."""
    seen: dict[str, int] = {}
    for stage in recipe.stages[: place + 1]:
        if stage.from_teacher:
            seen = {}
        for kind, count in seen_by(recipe, stage).items():
            seen[kind] = seen.get(kind, 0) + count
    return seen


def refuse_unused(recipe: Recipe) -> None:
    """Refuse pictures and texts that nothing of a run can use.

    Raises:
        UserError: which, and what can use them.
    """
    for where, kind in _told(recipe):
        if getattr(recipe.data, kind) is None:
            raise UserError(
                str(where),
                f"says how many a step sees, and data.{kind} names none",
                f"Name them: --set data.{kind}=..., or leave it out",
            )
    for kind in named(recipe):
        named_by = f"data.{kind}"
        if KINDS[kind] not in recipe.towers:
            raise UserError(
                named_by,
                f"the {KINDS[kind]} tower stays as it is, and nothing else learns from "
                f"{kind} without a pair",
                f"Leave data.{kind} out, or train both towers",
            )
        if recipe.more_teachers:
            raise UserError(
                named_by,
                "the teachers that more_teachers names read pairs alone, each with a "
                "transform and a tokenizer of its own",
                f"Leave data.{kind} or more_teachers out",
            )
        if any(seen_by(recipe, stage)[kind] for stage in recipe.stages):
            continue
        alone = sorted(objectives.each_modality)
        raise UserError(
            named_by,
            f"no objective of this run looks at {kind} alone: it would see none",
            f"Add one of {', '.join(alone)}: --set 'stages[*].distil.losses="
            f"{{mimic: 1, {alone[0]}: 1}}'; or leave data.{kind} out",
        )


def _told(recipe: Recipe) -> Iterator[tuple[Place, str]]:
    for place, stage in enumerate(recipe.stages):
        for kind in KINDS:
            if getattr(stage, kind) is not None:
                yield Place().key("stages").item(place).key(kind), kind


def refuse_few(recipe: Recipe, counts: Mapping[str, int]) -> None:
    """Refuse steps that see more than there is.

    Args:
        counts: how many there are of each kind.

    Raises:
        UserError: they do; the message has a number that fits.
    """
    for place, stage in enumerate(recipe.stages):
        for kind, wanted in per_step(recipe, stage).items():
            if seen_by(recipe, stage)[kind] and wanted > counts[kind]:
                raise UserError(
                    f"stages[{place}].{kind}",
                    f"a step sees {wanted} {kind} without a pair, and there are "
                    f"{counts[kind]}",
                    f"Let it see fewer: --set 'stages[*].{kind}={counts[kind]}'",
                )
