"""What a recipe will do, before it does it: sizes, steps, samples, memory, time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .. import cost
from ..config.load import fingerprint, recipe_to_dict
from ..config.schema import SITES, Recipe, Stage
from ..errors import UserError
from ..losses.distill import objectives
from ..masks.choose import check_target
from ..model.clip import Clip
from ..shapes import BlockShape, ClipShape, TowerShape
from .run_dir import START

GIB = 1024**3
LARGE = 10**10  # multiply-accumulates a pair


@dataclass(frozen=True)
class StagePlan:
    """One stage, estimated."""

    number: int
    start: float
    target: float
    phases: dict[str, int]  # steps of each training phase
    samples: int
    params_encoder: int
    params_total: int
    memory_gib: float
    flops_per_step: dict[str, float]  # of each training phase
    seconds: float
    fingerprint: str


@dataclass(frozen=True)
class Plan:
    """The whole run, estimated."""

    teacher: str
    data: str
    pairs: int
    sizes: dict[str, int]  # the teacher's
    flops_per_second: float
    cached: bool
    fingerprints: dict[str, str]  # of teacher and data
    stages: tuple[StagePlan, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return asdict(self)


def steps_of(stage: Stage) -> dict[str, int]:
    """Steps of each phase that trains."""
    steps = {"learn": stage.learn.steps, "distil": stage.distil.steps}
    return {name: steps[name] for name in stage.phases if name in steps}


def check(recipe: Recipe) -> None:
    """Refuse names that only the rooms above `config` know.

    Raises:
        UserError: an objective does not exist, or no pairs are named.
    """
    if not recipe.data.source:
        raise UserError(
            "data.source",
            f"recipe {recipe.name!r} names no pairs",
            "Name yours: --data csv:pairs.csv",
        )
    for number, stage in enumerate(recipe.stages):
        for phase in ("learn", "distil"):
            for name in getattr(stage, phase).losses:
                objectives.get(name, f"stages[{number}].{phase}.losses")


def refuse_unreachable(recipe: Recipe, teacher: ClipShape, base: ClipShape) -> None:
    """Refuse a target that no choice of units can meet, before anything is trained.

    Args:
        teacher: what shares count from.
        base: what the first stage cuts: the teacher, its vocabulary trimmed.

    Raises:
        UserError: the smallest reachable size, and what limits it.
    """
    for number, stage in enumerate(recipe.stages):
        if "inherit" not in stage.phases or stage.target is None:
            continue
        try:
            check_target(
                base,
                stage.target,
                recipe.budget,
                recipe.layout,
                cost.size(teacher, recipe.budget, recipe.towers),
                SITES if "manual" in stage.phases else stage.sites,
                recipe.towers,
                recipe.round_to,
            )
        except UserError as error:
            where = f"stages[{number}].target"
            raise UserError(where, error.what, error.todo) from None


def chain(recipe: Recipe, prints: Mapping[str, str]) -> list[str]:
    """A fingerprint a stage: of its settings and of all that came before it.

    Args:
        prints: fingerprints of teacher, data and, where it is trimmed, vocabulary.
    """
    whole = recipe_to_dict(recipe)
    shared = {
        key: value
        for key, value in whole.items()
        if key not in ("stages", "name", "about", "checkpoints", "checkpoint_every")
    }
    last = fingerprint({**prints, "recipe": shared})
    chained = []
    for stage in whole["stages"]:
        last = fingerprint({"before": last, "stage": stage})
        chained.append(last)
    return chained


def scaled(shape: ClipShape, share: float, recipe: Recipe) -> ClipShape:
    """A shape of about that share, every width cut alike: for estimates only."""
    budget, towers = recipe.budget, recipe.towers

    def tower(name: str, by: float) -> TowerShape:
        whole = shape.towers()[name]
        if name not in towers:
            return whole
        blocks = tuple(
            BlockShape(heads=max(1, round(b.heads * by)), ffn=max(1, round(b.ffn * by)))
            for b in whole.blocks
        )
        values = {**vars(whole), "blocks": blocks, "width": round(whole.width * by)}
        return type(whole)(**values)

    low, high = 0.0, 1.0
    for _ in range(20):
        by = (low + high) / 2
        cut = shape.with_towers(image=tower("image", by), text=tower("text", by))
        whole_size = cost.size(shape, budget, towers)
        small = cost.size(cut, budget, towers) < share * whole_size
        low, high = (by, high) if small else (low, by)
    return cut if share < 1 else shape


def macs(shape: ClipShape) -> int:
    """Multiply-accumulates of one pair."""
    return sum(
        cost.tower_macs(tower, shape.embed_dim) for tower in shape.towers().values()
    )


def activation_bytes(shape: ClipShape) -> int:
    """About what one pair keeps for the backward pass, float32."""
    kept = 0
    for tower in shape.towers().values():
        for block in tower.blocks:
            inner = block.heads * tower.head_width
            kept += tower.tokens * (8 * tower.width + 5 * inner + 3 * block.ffn)  # type: ignore[attr-defined]
    return 4 * kept


def stage_memory(start: ClipShape, teacher: ClipShape, batch: int) -> float:
    """GiB at the peak of a stage: teacher, weights, gradient, moments, activations."""
    weights = cost.size(start, "total") * 4 * 4 + cost.size(teacher, "total") * 4
    return (weights + batch * activation_bytes(start)) / GIB + 0.5  # the libraries


@torch.no_grad()
def measure_speed(model: Clip) -> float:
    """Floating-point operations a second here, from the teacher's forward pass."""
    shape = model.shape
    # a large model says enough with one pair
    batch = 4 if macs(shape) < LARGE else 1
    side = shape.image.image_size
    pixels = torch.zeros(batch, 3, side, side)
    tokens = torch.zeros(batch, shape.text.context_length, dtype=torch.long)
    model(pixels, tokens)
    seconds = []
    for _ in range(3 if batch > 1 else 1):
        began = time.perf_counter()
        model(pixels, tokens)
        seconds.append(time.perf_counter() - began)
    return 2 * macs(shape) * batch / min(seconds)


def plan_stage(
    recipe: Recipe, number: int, teacher: ClipShape, cached: bool, speed: float
) -> dict[str, Any]:
    """The estimates of stage `number` (from 1), all but its fingerprint."""
    stage = recipe.stages[number - 1]
    before = [one.target for one in recipe.stages[: number - 1] if one.target]
    share = before[-1] if before else START
    target = share if stage.target is None else stage.target
    start = scaled(teacher, share, recipe)
    end = scaled(teacher, target, recipe)
    steps = steps_of(stage)
    works = {"learn": macs(start), "distil": macs(end)}
    live = 0 if cached else macs(teacher)
    # a step is a forward pass and a backward pass of twice the work
    each = {p: 2.0 * stage.batch * (3 * works[p] + live) for p in steps}
    flops = sum(count * each[phase] for phase, count in steps.items())
    # the budget is met within 0.5 %; the other counts depend on which units stay
    encoder = cost.size(end, "encoder")
    if recipe.budget == "encoder":
        kept = cost.size(teacher, "encoder", recipe.towers)
        left = cost.size(teacher, "encoder") - kept
        encoder = round(target * kept) + left
    return {
        "number": number,
        "start": share,
        "target": target,
        "phases": steps,
        "samples": sum(steps.values()) * stage.batch,
        "params_encoder": encoder,
        "params_total": cost.size(end, "total"),
        "memory_gib": round(stage_memory(start, teacher, stage.batch), 2),
        "flops_per_step": each,
        "seconds": round(flops / speed, 1),
    }


def refuse_few_pairs(recipe: Recipe, pairs: int) -> None:
    """Refuse a batch that is larger than the data.

    Raises:
        UserError: it is; the message has a batch that fits.
    """
    for number, stage in enumerate(recipe.stages):
        if pairs < stage.batch:
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
    prints: dict[str, str],
    cached: bool,
) -> Plan:
    """Estimate every stage of a recipe.

    Args:
        teacher: the run's teacher.
        base: shape of what the first stage starts from.
        pairs: how many pairs there are to train on.
        prints: fingerprints of `teacher` and `data`.
        cached: whether the teacher is run once per picture instead of once per step.

    Raises:
        UserError: there are fewer pairs than one batch holds, or a target that cannot
            be reached.
    """
    refuse_few_pairs(recipe, pairs)
    refuse_unreachable(recipe, teacher.shape, base)
    speed = measure_speed(teacher)
    chained = chain(recipe, prints)
    stages = tuple(
        StagePlan(
            **plan_stage(recipe, number, teacher.shape, cached, speed),
            fingerprint=chained[number - 1],
        )
        for number in range(1, len(recipe.stages) + 1)
    )
    return Plan(
        teacher=recipe.teacher,
        data=recipe.data.source,
        pairs=pairs,
        sizes=cost.sizes(teacher.shape),
        flops_per_second=round(speed),
        cached=cached,
        fingerprints=prints,
        stages=stages,
    )
