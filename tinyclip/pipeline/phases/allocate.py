"""The allocate phase: the size shared among sites and towers by what each loses."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...config.phases.allocate import CURVES
from ...data.batch import Batch
from ...inherit.carried import carried
from ...inherit.search import Search, Verdict, fewer_pictures
from ...inherit.solve import solve
from ...keep import ClipKeep
from ...losses.mimic import mimic
from ...model.clip import Clip, Features
from ...training.engine import Engine
from ..handover import Progress
from ..stage_context import StageContext
from .solve import ridges_of


class MimicJudge:
    """How far a student's similarities are from the teacher's, on the same pairs.

    Args:
        teacher: the run's, in eval.
        batches: the same pairs in every process.
    """

    def __init__(self, teacher: Clip, batches: Sequence[Batch], engine: Engine) -> None:
        self.batches, self.engine = batches, engine
        self.teacher = self._features(engine.place(teacher))

    @torch.no_grad()
    def _features(self, model: Clip) -> Features:
        """Of all pairs, as one batch."""
        device = model.logit_scale.device
        parts = [
            model(batch.pixels.to(device), batch.tokens_BT.to(device))
            for batch in self.batches
        ]
        return Features(
            torch.cat([part.image_BE for part in parts]),
            torch.cat([part.text_BE for part in parts]),
            parts[0].scale,
            parts[0].bias,
        )

    def __call__(self, student: Clip) -> Verdict:
        mine, theirs = self._features(student), self.teacher
        images = Features(mine.image_BE, theirs.text_BE, theirs.scale, theirs.bias)
        texts = Features(theirs.image_BE, mine.text_BE, theirs.scale, theirs.bias)
        gaps = [
            float(mimic(features, theirs)[1]["mimic_kl"])
            for features in (images, texts, mine)
        ]
        # processes may differ in the last digits, and must not in what they choose
        mean = self.engine.summed(torch.tensor(gaps, dtype=torch.float64))
        return Verdict(*(mean / self.engine.world).tolist())


def run(stage: StageContext, progress: Progress) -> None:
    """Search how much of each site the size is best met by.

    Raises:
        UserError: no choice of units meets the size.
    """
    run, settings = stage.run, stage.settings.allocate
    ridges = ridges_of(stage.settings.solve)
    total = CURVES + 1 + settings.tries
    run.watcher.phase(stage.folder.number, "allocate", 0, total)
    judge = MimicJudge(run.teacher.model, run.judged(settings.judged), stage.engine)
    with stage.looking(progress.model) as (model, batches):
        summed, shape = stage.engine.summed, model.shape.image
        pairs = fewer_pictures(batches(settings.samples), shape, stage.engine.world)

        def make(keep: ClipKeep) -> Clip:
            return solve(model, keep, pairs, ridges, summed).model

        search = Search(
            model,
            carried(model, pairs, summed),
            make,
            judge,
            stage.settings.sites,
            lambda done: run.watcher.step({"step": done}),
        )
        progress.keep, verdict = search.best(stage.goal, settings.tries)
    if stage.engine.is_main:
        stage.folder.write("allocation.json", search.told(verdict))
