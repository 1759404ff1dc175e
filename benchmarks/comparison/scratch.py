"""A student of the wanted size from random weights, with open_clip's distillation.

Its shape is that which `manual` leaves: every width cut by the same factor, as somebody
would write it into open_clip's configuration. The loss is open_clip's own: contrastive
and, with the same weight, the cross-entropy from the teacher's logits.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from open_clip.loss import DistillClipLoss
from torch import Tensor

from tinyclip.config.schema import Manual, Recipe
from tinyclip.inherit.manual import manual_keep
from tinyclip.losses.objectives import Parts, objectives
from tinyclip.model.clip import Clip, Features
from tinyclip.pipeline.estimate import goal_of
from tinyclip.pipeline.stage import run_stage

from .cells import Cell
from .job import Job

OBJECTIVE = "open_clip"


def distill_clip_loss(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """The sum of the two losses that open_clip trains with under `--distill-model`."""
    contrastive, distilled = DistillClipLoss()(
        student.image_BE,
        student.text_BE,
        student.scale,
        teacher.image_BE,
        teacher.text_BE,
        teacher.scale,
    )
    return contrastive + distilled, {"distilled": distilled.detach()}


def recipe(base: Recipe, cell: Cell) -> Recipe:
    """One stage that only distils."""
    stage = base.stages[0]
    distil = replace(
        stage.distil,
        steps=cell.steps,
        optim=replace(stage.distil.optim, lr=cell.rate or stage.distil.optim.lr),
        losses={OBJECTIVE: 1.0},
    )
    # the target is the run's, not a cut's: it says which shape is begun with
    only = replace(stage, phases=("distil",), target=cell.target, distil=distil)
    return replace(base, stages=(only,))


def run(job: Job) -> Path:
    """Random weights, then the stage."""
    if OBJECTIVE not in set(objectives):  # there for this run alone
        objectives.register(OBJECTIVE)(distill_clip_loss)
    context = job.context()
    (stage,) = job.stages(context)
    if stage.folder.done() is not None:
        return stage.folder.model
    teacher, target = context.base.model, job.recipe.stages[0].target
    assert target is not None
    goal = goal_of(job.recipe, teacher.shape, target)
    keep = manual_keep(teacher.shape, goal, Manual())
    student = Clip(keep.cut(teacher.shape)).init_weights(job.recipe.seed)
    run_stage(stage, student, 0)
    return stage.folder.model
