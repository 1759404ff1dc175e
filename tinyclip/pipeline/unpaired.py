"""What a recipe has beside its pairs: who looks at it, and how much of it steps see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .. import cost
from ..config.objectives import weight_of
from ..config.phases.phase import PhaseSettings
from ..config.place import Place
from ..config.schema import Recipe, Stage
from ..errors import UserError
from ..losses.objectives import objectives
from ..shapes import ClipShape
from .caches import caching_unpaired

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


def in_phase(recipe: Recipe, stage: Stage, phase: PhaseSettings) -> dict[str, int]:
    """How many of each kind a step of a phase sees."""
    counts = per_step(recipe, stage)
    return counts if looks_alone(phase) else dict.fromkeys(counts, 0)


def most_unpaired(recipe: Recipe, stage: Stage) -> dict[str, int]:
    """How many of each kind a step of a stage sees, in the phase that sees most."""
    phases = stage.running().values()
    return max((in_phase(recipe, stage, p) for p in phases), key=_total, default={})


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def seen_by(recipe: Recipe, stage: Stage, before: str | None = None) -> dict[str, int]:
    """How many of each kind the phases of a stage see.

    Args:
        before: a phase; those before it alone are counted.
    """
    seen = dict.fromkeys(named(recipe), 0)
    for name, phase in stage.running().items():
        if name == before:
            break
        for kind, count in in_phase(recipe, stage, phase).items():
            seen[kind] += count * phase.trained_steps
    return seen


def asked(recipe: Recipe, kind: str) -> int:
    """How many of a kind the run's teacher is asked for."""
    return sum(
        per_step(recipe, stage)[kind] * phase.trained_steps
        for number, stage in enumerate(recipe.stages)
        for phase in stage.running().values()
        if looks_alone(phase) and phase.asks_run_teacher(number)
    )


def seen_until(recipe: Recipe, place: int, before: str | None = None) -> dict[str, int]:
    """How many of each kind a student has seen after the stage at this place.

    Args:
        before: a phase of that stage; what comes from it on is not counted.
    """
    seen = dict.fromkeys(named(recipe), 0)
    for number, stage in enumerate(recipe.stages[: place + 1]):
        if stage.from_teacher:
            seen = dict.fromkeys(seen, 0)
        own = seen_by(recipe, stage, before if number == place else None)
        seen = {kind: seen[kind] + own[kind] for kind in seen}
    return seen


def provenance(recipe: Recipe, place: int) -> dict[str, str | int]:
    """What a student's card says of what it saw beside its pairs."""
    told: dict[str, str | int] = {}
    for kind, count in seen_until(recipe, place).items():
        told |= {kind: getattr(recipe.data, kind), f"{kind}_seen": count}
    return told


def cached_kinds(recipe: Recipe, counts: Mapping[str, int], width: int) -> set[str]:
    """The kinds of which the teacher's features are made once.

    Args:
        counts: how many there are of each.
        width: of the teacher's embedding.
    """
    views = {"images": recipe.data.augmentations}
    return {
        kind
        for kind, count in counts.items()
        if caching_unpaired(
            recipe, count * views.get(kind, 1), asked(recipe, kind), width
        )
    }


def step_macs(counts: Mapping[str, int], shape: ClipShape) -> float:
    """Multiply-accumulates of a forward pass of what a step sees beside its pairs."""
    towers = shape.towers()
    return sum(
        count * cost.tower_macs(towers[KINDS[kind]], shape.embed_dim)
        for kind, count in counts.items()
    )


def step_bytes(counts: Mapping[str, int], shape: ClipShape) -> int:
    """About what that keeps for the backward pass, float32."""
    towers = shape.towers()
    return sum(
        4 * count * int(cost.kept_numbers(towers[KINDS[kind]]))
        for kind, count in counts.items()
    )


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
