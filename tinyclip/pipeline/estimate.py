"""What a stage will cost, before it starts: work, time, memory, files.

A multiply-accumulate counts as two operations, and a step as a forward pass and a
backward pass of twice the work.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from .. import cost
from ..config.schema import Recipe, Stage
from ..model.clip import Clip
from ..shapes import BlockShape, ClipShape, TowerShape

START = 1.0  # the share of itself that the run's teacher is
GIB = 1024**3
LARGE = 10**10  # multiply-accumulates a pair


def steps_of(stage: Stage) -> dict[str, int]:
    """Steps of each phase that trains."""
    steps = {"learn": stage.learn.steps, "distil": stage.distil.steps}
    return {name: steps[name] for name in stage.phases if name in steps}


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


def checkpoint_bytes(start: ClipShape) -> int:
    """About what one saved state takes: weights and two moments, float32."""
    return 3 * 4 * int(cost.size(start, "total"))


def gather_bytes(shape: ClipShape, batch: int) -> int:
    """What the processes send each other in a step, beside gradients: two features a
    pair of student and teacher, float32."""
    return 2 * 2 * 4 * batch * int(shape.embed_dim)


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
        "checkpoint_gib": round(checkpoint_bytes(start) / GIB, 3),
        "gather_mib": round(gather_bytes(teacher, stage.batch) / 2**20, 3),
        "seconds": round(flops / speed, 1),
    }
