"""The folder of an ablation: as a comparison's, and all cells of one choice of data
start from one student.

    WORK/cells/none/...   the inherited student, made once for each choice of data

Legend: N pictures, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from comparison.cells import Cell
from comparison.job import Job
from comparison.measured import encoder_of
from comparison.methods import METHODS, Method
from comparison.work import Work
from torch import Tensor
from torch.nn import functional as F

from tinyclip.config.load import fingerprint, recipe_to_dict
from tinyclip.config.override import override
from tinyclip.config.place import Place
from tinyclip.config.schema import Recipe
from tinyclip.config.setting import without_later
from tinyclip.data.tasks import Task, ZeroShotTask
from tinyclip.evaluation.features import Encoder
from tinyclip.evaluation.zero_shot import class_features
from tinyclip.formats.source import load_source
from tinyclip.losses.fitting import refuse_misfits
from tinyclip.model.store import load_model
from tinyclip.pipeline.plan import check
from tinyclip.pipeline.stage import run_stage

from .entries import NONE, Entry

CUT = "cut"  # of the comparison's methods: the closed form
DIVERGES = ("dev", "designer")  # tasks whose similarities are compared


def methods(entries: Mapping[str, Entry]) -> dict[str, Method]:
    """The inherited student, and every way to distil it."""
    made = {NONE: replace(METHODS[CUT], title="the student as inherited")}
    return made | {name: _method(name, entry) for name, entry in entries.items()}


def _method(name: str, entry: Entry) -> Method:
    def recipe(base: Recipe, cell: Cell) -> Recipe:
        stage = base.stages[0]
        optim = replace(stage.distil.optim, lr=cell.rate or stage.distil.optim.lr)
        distil = replace(
            stage.distil, steps=cell.steps, optim=optim, losses=dict(entry.losses)
        )
        # the target is that of the student, which is cut already
        stage = replace(stage, phases=("distil",), target=cell.target, distil=distil)
        made = replace(base, stages=(stage,))
        if entry.live:
            made = replace(made, cache_teacher="never")
        for path, value in entry.settings.items():
            made = override(made, path.split("."), value, Place(path=name))
        return made

    return Method(name.replace("+", " + "), recipe)


class Ablation(Work):
    """What is done and kept.

    A cell is told by what differs from defaults where a setting came later, so that
    settings of objectives to come leave kept cells what they are.
    """

    def mark(self, recipe: Recipe) -> str:
        return fingerprint(without_later(Recipe, recipe_to_dict(recipe)))

    def inherited(self, cell: Cell) -> Cell:
        """The cell of the student that a cell starts from."""
        return Cell(NONE, cell.target, cell.data, 0, 0)

    def place(self, cell: Cell) -> Path:
        """Beside its own settings, those of its student tell a cell."""
        place = super().place(cell)
        if cell.method == NONE:
            return place
        cut = super().place(self.inherited(cell))
        return place.with_name(f"{place.name}-{cut.name[-8:]}")

    def made(self, cell: Cell, job: Job) -> Path:
        if cell.method == NONE:
            return super().made(cell, job)
        check(job.recipe)
        context = job.context()
        refuse_misfits(job.recipe, context.base.model.shape, Place(path=cell.method))
        (stage,) = job.stages(context)
        if stage.folder.done() is None:
            run_stage(stage, load_model(self.student(cell)).model, 0)
        return stage.folder.model

    def student(self, cell: Cell) -> Path:
        """The model directory that a cell starts from."""
        return self.place(self.inherited(cell)) / "run" / "model"

    # figures

    def further(self, encoder: Encoder) -> dict[str, Any]:
        """How far a student is from what the teacher says."""
        return {"divergence": divergences(self.logits(encoder), self.wanted)}

    @cached_property
    def wanted(self) -> dict[str, Tensor]:
        """The teacher's scaled similarities."""
        return self.logits(encoder_of(load_source(self.base.teacher)))

    def logits(self, encoder: Encoder) -> dict[str, Tensor]:
        """Scaled similarities (N, C) of pictures and class names, by task."""
        scale = encoder.model.logit_scale.detach().double().exp()
        tasks = [task for task in self.measured.tasks if task.name in DIVERGES]
        return {task.name: scale * _similar(encoder, task) for task in tasks}


def _similar(encoder: Encoder, task: Task) -> Tensor:
    assert isinstance(task, ZeroShotTask)
    _, images_NE = encoder.pictures(task.pairs)
    by_template = [
        encoder.texts([template.format(name) for name in task.classes])
        for template in task.templates
    ]
    classes_CE = class_features(torch.stack(by_template))
    return images_NE.double() @ classes_CE.double().T


def divergences(
    own: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, float]:
    """mean_i KL(P_i ‖ p_i) in nats, p and P the softmax of a picture's similarities
    with all classes, of the student and of the teacher."""
    return {
        task: float(
            F.kl_div(
                own[task].log_softmax(-1),
                wanted_NC.log_softmax(-1),
                reduction="batchmean",
                log_target=True,
            )
        )
        for task, wanted_NC in wanted.items()
    }
