"""What a stage will cost, before it starts: work, time, memory, files.

A multiply-accumulate counts as two operations, and a step as a forward pass and a
backward pass of twice the work.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import torch

from .. import cost
from ..config.phases.phase import PhaseSettings
from ..config.place import Place
from ..config.schema import Recipe, Stage
from ..goal import SizeGoal
from ..model.clip import Clip
from ..shapes import ClipShape, TowerShape
from ..sites import SITES, USUAL, resized, units_of
from .needs import needs_of_phase
from .unpaired import in_phase, most_unpaired, seen_by, step_bytes, step_macs

GIB = 1024**3
LARGE = 10**10  # multiply-accumulates a pair


def goal_of(recipe: Recipe, teacher: ClipShape, target: float) -> SizeGoal:
    """The size that a recipe wants of a stage, as a share of the run's teacher."""
    goal = SizeGoal(
        target,
        budget=recipe.budget,
        layout=recipe.layout,
        towers=recipe.towers,
        round_to=recipe.round_to,
    )
    return goal.against(teacher)


def scaled(shape: ClipShape, goal: SizeGoal) -> ClipShape:
    """A shape of about the wanted share of itself, every width cut alike: for
    estimates only."""

    def tower(name: str, factor: float) -> TowerShape:
        whole = shape.towers()[name]
        if name not in goal.towers:
            return whole
        units = {}
        for key in USUAL:
            least = 1 if SITES[key].in_block else 0
            units[key] = [
                max(min(least, n), round(n * factor)) for n in units_of(whole, key)
            ]
        return resized(whole, units)

    low, high = 0.0, 1.0
    for _ in range(20):
        factor = (low + high) / 2
        cut = shape.with_towers(
            image=tower("image", factor), text=tower("text", factor)
        )
        too_small = goal.size(cut) < goal.target * goal.size(shape)
        low, high = (factor, high) if too_small else (low, factor)
    return cut if goal.target < 1 else shape


def planned(teacher: ClipShape, end: ClipShape, goal: SizeGoal, budget: str) -> int:
    """A count of the student to come: what was asked for where it is the goal's own
    budget, which is met within 0.5 %; others depend on which units stay."""
    if budget != goal.budget:
        return int(cost.size(end, budget))
    kept = goal.size(teacher)
    return round(goal.target * kept) + int(cost.size(teacher, budget) - kept)


def macs(shape: ClipShape) -> int:
    """Multiply-accumulates of one pair."""
    return sum(
        cost.tower_macs(tower, shape.embed_dim) for tower in shape.towers().values()
    )


def activation_bytes(shape: ClipShape) -> int:
    """About what one pair keeps for the backward pass, float32."""
    return 4 * sum(int(cost.kept_numbers(tower)) for tower in shape.towers().values())


def stage_memory(start: ClipShape, teacher: ClipShape, batch: int) -> float:
    """GiB at the peak of a stage: teacher, weights, gradient, moments, activations."""
    weights = cost.size(start, "total") * 4 * 4 + cost.size(teacher, "total") * 4
    return (weights + batch * activation_bytes(start)) / GIB + 0.5  # the libraries


def checkpoint_bytes(start: ClipShape) -> int:
    """About what one saved state takes: weights and two moments, float32."""
    return 3 * 4 * int(cost.size(start, "total"))


def gather_bytes(shape: ClipShape, batch: float, teachers: int = 1) -> int:
    """What the processes send each other in a step, beside gradients: two features a
    pair of the student and of each teacher, float32."""
    return int(2 * (1 + teachers) * 4 * batch * shape.embed_dim)


def cache_bytes(shape: ClipShape, pairs: int, augmentations: int) -> int:
    """About what the teacher's features take: each picture's augmentations, and one
    caption a picture, float32."""
    return 4 * pairs * (augmentations + 1) * int(shape.embed_dim)


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


def works_of(stage: Stage, start: ClipShape, end: ClipShape) -> dict[str, float]:
    """Multiply-accumulates of one pair in each phase: of the model as it is there, with
    what objectives have it encode beside."""
    shapes, phases = shapes_of(stage, start, end), stage.running()
    return {n: macs(shapes[n]) + macs_beside(phases[n], shapes[n]) for n in phases}


def shapes_of(stage: Stage, start: ClipShape, end: ClipShape) -> dict[str, ClipShape]:
    """What the model is in each phase."""
    shapes, shape = {}, start
    for name, phase in stage.running().items():
        shape = shapes[name] = end if phase.cuts else shape
    return shapes


def macs_unpaired(
    recipe: Recipe,
    number: int,
    shapes: Mapping[str, ClipShape],
    teacher: ClipShape,
    cached: Collection[str],
) -> dict[str, float]:
    """Multiply-accumulates of a step of each phase for what has no pair: the student's,
    forward and back, and those of all who teach.

    Args:
        shapes: of the student, by phase.
        cached: kinds of which the teacher's features are made once.
    """
    stage, works = recipe.stages[number - 1], {}
    earlier = earlier_shapes(recipe, number, teacher)
    for name, phase in stage.running().items():
        counts = in_phase(recipe, stage, phase)
        live = {kind: n for kind, n in counts.items() if kind not in cached}
        works[name] = 3 * step_macs(counts, shapes[name])
        for place in phase.earlier_teachers(len(earlier)):
            works[name] += step_macs(counts, earlier[place])
        if phase.asks_run_teacher(len(earlier)):
            works[name] += step_macs(live, teacher)
    return works


def macs_beside(phase: PhaseSettings, shape: ClipShape) -> float:
    """Multiply-accumulates of what the objectives of a phase need beside each pair."""
    width, towers = shape.embed_dim, shape.towers()
    return sum(
        need.images * cost.tower_macs(towers["image"], width)
        + need.texts * cost.tower_macs(towers["text"], width)
        for need in needs_of_phase(phase, Place()).values()
    )


def runs_teacher(phase: PhaseSettings) -> bool:
    """Whether an objective of it needs the teacher itself at every step."""
    needs = needs_of_phase(phase, Place()).values()
    return any(need.runs_teacher for need in needs)


def teacher_macs_beside(phase: PhaseSettings, teacher: ClipShape) -> float:
    """Multiply-accumulates of what the teacher encodes for objectives beside a pair."""
    needs = needs_of_phase(phase, Place()).values()
    image = cost.tower_macs(teacher.image, teacher.embed_dim)
    return float(sum(need.teacher_images * image for need in needs))


def earlier_shapes(recipe: Recipe, number: int, teacher: ClipShape) -> list[ClipShape]:
    """About what the students of the stages before stage `number` are."""
    targets = [target for _, target in recipe.spans[: number - 1]]
    return [scaled(teacher, goal_of(recipe, teacher, target)) for target in targets]


def teaching_macs(
    phase: PhaseSettings,
    teacher: ClipShape,
    earlier: list[ClipShape],
    cached: bool,
    others: tuple[ClipShape, ...] = (),
) -> float:
    """Multiply-accumulates of all who teach a phase, for each pair."""
    places = phase.earlier_teachers(len(earlier))
    works = float(sum(macs(earlier[place]) for place in places))
    if not phase.asks_run_teacher(len(earlier)):
        beside = [teacher_macs_beside(phase, earlier[place]) for place in places]
        return works + sum(beside)
    works += teacher_macs_beside(phase, teacher)
    works += 0 if cached else sum(map(macs, others))
    return works + (macs(teacher) if runs_teacher(phase) or not cached else 0)


def most_teachers(stage: Stage, earlier: int) -> int:
    """How many teach a phase of a stage together, at most."""
    return max(
        len(phase.earlier_teachers(earlier)) + phase.asks_run_teacher(earlier)
        for phase in stage.running().values()
    )


def teaching_bytes(stage: Stage, earlier: list[ClipShape]) -> int:
    """About what the weights of earlier students take that teach a stage, float32."""
    phases, count = stage.running().values(), len(earlier)
    places = {place for phase in phases for place in phase.earlier_teachers(count)}
    return sum(4 * int(cost.size(earlier[place], "total")) for place in places)


def plan_stage(
    recipe: Recipe,
    number: int,
    teacher: ClipShape,
    cached: bool,
    speed: float,
    others: tuple[ClipShape, ...] = (),
    kinds: Collection[str] = (),
) -> dict[str, Any]:
    """The estimates of stage `number` (from 1), all but its fingerprint.

    Args:
        cached: whether the teacher's features of pairs are made once.
        kinds: of what has no pair, of which they are.
        others: teachers of another make.
    """
    stage = recipe.stages[number - 1]
    share, target = recipe.spans[number - 1]
    start = scaled(teacher, goal_of(recipe, teacher, share))
    goal = goal_of(recipe, teacher, target)
    end = scaled(teacher, goal)
    steps, works = stage.steps, works_of(stage, start, end)
    earlier = earlier_shapes(recipe, number, teacher)
    live = {
        name: teaching_macs(phase, teacher, earlier, cached, others)
        for name, phase in stage.running().items()
    }
    # a step is a forward pass and a backward pass of twice the work
    shapes = shapes_of(stage, start, end)
    beside = macs_unpaired(recipe, number, shapes, teacher, kinds)
    flops_per_step = {
        p: 2.0 * (stage.batch * (3 * works[p] + live[p]) + beside[p]) for p in steps
    }
    flops = sum(count * flops_per_step[phase] for phase, count in steps.items())
    # phases that look at pairs: a forward pass each, and about as much beside it
    looked = stage.looked
    flops += sum(4.0 * pairs * works[name] for name, pairs in looked.items())
    memory = stage_memory(start, teacher, stage.batch)
    held = sum(4 * int(cost.size(other, "total")) for other in others)
    seen = most_unpaired(recipe, stage)
    memory += (teaching_bytes(stage, earlier) + held + step_bytes(seen, start)) / GIB
    teachers = max(1, most_teachers(stage, number - 1)) + len(others)
    # a picture or a text alone is half a pair
    gathered = gather_bytes(teacher, stage.batch + sum(seen.values()) / 2, teachers)
    return {
        "number": number,
        "start": share,
        "target": target,
        "phases": steps,
        "looked": looked,
        "samples": sum(steps.values()) * stage.batch,
        "unpaired": seen_by(recipe, stage),
        "params_encoder": planned(teacher, end, goal, "encoder"),
        "params_total": planned(teacher, end, goal, "total"),
        "memory_gib": round(memory, 2),
        "flops_per_step": flops_per_step,
        "checkpoint_gib": round(checkpoint_bytes(start) / GIB, 3),
        "gather_mib": round(gathered / 2**20, 3),
        "seconds": round(flops / speed, 1),
    }
