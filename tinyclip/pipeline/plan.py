"""What a recipe will do, before it does it: sizes, steps, samples, memory, time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .. import cost
from ..config.load import fingerprint, recipe_to_dict
from ..config.place import Place
from ..config.schema import Recipe
from ..config.setting import without_later
from ..errors import UserError
from ..inherit.manual import check_layers
from ..inherit.turn import turned_clip
from ..losses.fitting import refuse_misfits
from ..losses.objectives import check_objectives
from ..masks.choose import check_target
from ..model.clip import Clip
from ..shapes import ClipShape
from ..training.strategies import check_strategies
from .advice import advice_of
from .estimate import GIB, cache_bytes, goal_of, measure_speed, plan_stage
from .needs import refuse_unprovided
from .others import refuse_other_kinds
from .unpaired import cached_kinds, refuse_few, refuse_unused


@dataclass(frozen=True)
class StagePlan:
    """One stage, estimated."""

    number: int
    start: float
    target: float
    phases: dict[str, int]  # steps of each training phase
    looked: dict[str, int]  # pairs that other phases take through the model
    samples: int
    unpaired: dict[str, int]  # how many of each kind it sees beside
    params_encoder: int
    params_total: int
    memory_gib: float
    flops_per_step: dict[str, float]  # of each training phase
    checkpoint_gib: float
    gather_mib: float  # sent between processes in a step, beside gradients
    seconds: float
    fingerprint: str


@dataclass(frozen=True)
class Plan:
    """The whole run, estimated."""

    teacher: str
    data: str
    pairs: int
    unpaired: dict[str, int]  # how many there are of each kind beside
    sizes: dict[str, int]  # the teacher's
    flops_per_second: float
    cached: bool
    cache_gib: float  # what the teacher's features take, cached
    fingerprints: dict[str, str]  # of what a run is made of
    stages: tuple[StagePlan, ...]
    advice: tuple[str, ...] = ()  # what was measured that speaks against it

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return asdict(self)


def check(recipe: Recipe) -> None:
    """Refuse names that only the rooms above `config` know.

    Raises:
        UserError: an objective or its option does not exist, or no pairs are named.
    """
    if not recipe.data.source:
        raise UserError(
            "data.source",
            f"recipe {recipe.name!r} names no pairs",
            "Name yours: --data csv:pairs.csv",
        )
    check_objectives(recipe, Place())
    check_strategies(recipe)
    refuse_unprovided(recipe)
    refuse_unused(recipe)


def refuse_unreachable(recipe: Recipe, teacher: ClipShape, base: ClipShape) -> None:
    """Refuse a target that no choice of units can meet, before anything is trained.

    Args:
        teacher: what shares count from.
        base: what the first stage cuts: the teacher, its vocabulary trimmed.

    Raises:
        UserError: the smallest reachable size, and what limits it.
    """
    whole = base
    for number, stage in enumerate(recipe.stages):
        whole = base if stage.from_teacher else whole
        whole = turned_clip(whole) if stage.rotates else whole
        if not stage.cuts or stage.target is None:
            continue
        try:
            check_target(
                whole,
                goal_of(recipe, teacher, stage.target),
                sites=stage.cut_sites,
            )
        except UserError as error:
            if error.where != "target":
                raise
            where = f"stages[{number}].target"
            raise UserError(where, error.what, error.todo) from None


def refuse_layers(recipe: Recipe, base: ClipShape) -> None:
    """Refuse inheritance by hand of more layers than a stage will have.

    Raises:
        UserError: the stage, and how many layers there can be.
    """
    whole = {name: len(tower.blocks) for name, tower in base.towers().items()}
    left = dict(whole)
    for number, stage in enumerate(recipe.stages):
        left = dict(whole) if stage.from_teacher else left
        asked = (
            (f"stages[{number}].{phase}.{tower}_layers", tower, count)
            for phase, settings in stage.running().items()
            for tower, count in settings.layers.items()
        )
        for where, tower, count in asked:
            check_layers(where, tower, left[tower], count, tower in recipe.towers)
            left[tower] = count or left[tower]


def shared_fingerprint(recipe: Recipe, inputs: Mapping[str, str]) -> str:
    """A fingerprint of the inputs and of all settings that stages share.

    Args:
        inputs: fingerprints of what the run is made of.
    """
    shared = {
        key: value
        for key, value in without_later(Recipe, recipe_to_dict(recipe)).items()
        if key not in ("stages", "name", "about", "checkpoints", "checkpoint_every")
    }
    return fingerprint({**inputs, "recipe": shared})


def stage_fingerprints(recipe: Recipe, inputs: Mapping[str, str]) -> list[str]:
    """A fingerprint a stage: of its settings and of all that came before it.

    Args:
        inputs: fingerprints of what the run is made of.
    """
    last = shared_fingerprint(recipe, inputs)
    fingerprints = []
    for stage in without_later(Recipe, recipe_to_dict(recipe))["stages"]:
        last = fingerprint({"before": last, "stage": stage})
        fingerprints.append(last)
    return fingerprints


def refuse_few_pairs(recipe: Recipe, pairs: int) -> None:
    """Refuse a batch that is larger than the data, where a phase takes batches.

    Raises:
        UserError: it is; the message has a batch that fits.
    """
    for number, stage in enumerate(recipe.stages):
        if stage.batched and pairs < stage.batch:
            raise UserError(
                f"stages[{number}].batch",
                f"a batch of {stage.batch} needs as many pairs, and there are {pairs}",
                f"Use a smaller batch: --set 'stages[*].batch={max(2, pairs // 2)}'",
            )


def make_plan(
    recipe: Recipe,
    teacher: Clip,
    base: ClipShape,
    pairs: int,
    inputs: dict[str, str],
    cached: bool,
    others: tuple[ClipShape, ...] = (),
    unpaired: Mapping[str, int] | None = None,
) -> Plan:
    """Estimate every stage of a recipe.

    Args:
        teacher: the run's teacher.
        base: shape of what the first stage starts from.
        pairs: how many pairs there are to train on.
        inputs: fingerprints of what the run is made of.
        cached: whether the teacher is run once per picture instead of once per step.
        others: shapes of the teachers of another make.
        unpaired: how many pictures and texts there are that have no pair, by setting.

    Raises:
        UserError: there are fewer pairs than one batch holds, an objective does not
            fit the teacher, or a target cannot be reached.
    """
    refuse_few_pairs(recipe, pairs)
    counts = dict(unpaired or {})
    refuse_few(recipe, counts)
    refuse_misfits(recipe, teacher.shape, Place())
    refuse_other_kinds(recipe, teacher.shape, others)
    refuse_unreachable(recipe, teacher.shape, base)
    refuse_layers(recipe, base)
    speed = measure_speed(teacher)
    of_stages = stage_fingerprints(recipe, inputs)
    kinds = cached_kinds(recipe, counts, teacher.shape.embed_dim)
    cache = sum(
        cache_bytes(shape, pairs, recipe.data.augmentations)
        for shape in (teacher.shape, *others)
    )
    stages = tuple(
        StagePlan(
            **plan_stage(recipe, number, teacher.shape, cached, speed, others, kinds),
            fingerprint=of_stages[number - 1],
        )
        for number in range(1, len(recipe.stages) + 1)
    )
    return Plan(
        teacher=recipe.teacher,
        data=recipe.data.source,
        pairs=pairs,
        unpaired=counts,
        sizes=cost.sizes(teacher.shape),
        flops_per_second=round(speed),
        cached=cached,
        cache_gib=round(cache / GIB, 3),
        fingerprints=inputs,
        stages=stages,
        advice=advice_of(recipe),
    )
