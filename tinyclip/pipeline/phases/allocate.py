"""The allocate phase: the size shared among sites and towers by what each loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...config.phases.allocate import SHARES
from ...data.batch import Batch
from ...errors import Interrupted
from ...inherit.carried import carried
from ...inherit.search import Search, Verdict, fewer_pictures
from ...inherit.solve import solve
from ...inherit.stream import Pairs
from ...keep import ClipKeep
from ...losses.mimic import mimic
from ...model.clip import Clip, Features
from ...training.engine import Engine
from ..basis import Measured
from ..family import kept_by
from ..handover import Progress
from ..stage_context import StageContext
from .solve import ridges_of


class MimicJudge:
    """How far a student's similarities are from the teacher's, on the same pairs.

    Args:
        teacher: the run's, in eval.
        batches: the same pairs in every process.
        channels: which of its embedding's the student has; None for all.
    """

    def __init__(
        self,
        teacher: Clip,
        batches: Sequence[Batch],
        engine: Engine,
        channels: Sequence[int] | None = None,
    ) -> None:
        self.batches, self.engine = batches, engine
        whole = self._features(engine.place(teacher))
        at = slice(None) if channels is None else list(channels)
        self.teacher = replace(
            whole,
            image_BE=F.normalize(whole.image_BE[:, at], dim=-1),
            text_BE=F.normalize(whole.text_BE[:, at], dim=-1),
        )

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

    What is measured for it on the teacher itself serves all stages that start there.

    Raises:
        UserError: no choice of units meets the size, or what the larger student kept
            is damaged.
        Interrupted: asked to stop.
    """
    run, engine, settings = stage.run, stage.engine, stage.settings.allocate
    larger = None
    if stage.larger is not None:
        larger = kept_by(stage.larger, progress.model.shape)
    measured = _measured(stage)
    done = 0 if measured is None else measured.judged
    ridges = ridges_of(stage.settings.solve)
    total = len(SHARES) * len(stage.settings.sites) + 1 + settings.tries
    run.watcher.phase(stage.folder.number, "allocate", done, total)
    judge = MimicJudge(
        run.teacher.model, run.judged(settings.judged), engine, progress.channels
    )
    with stage.looking(progress.model) as (model, batches):
        shape, world = model.shape.image, engine.world
        pairs = fewer_pictures(batches(settings.samples), shape, world)

        def watch(done: int) -> None:
            run.watcher.step({"step": done})
            if engine.anywhere(run.stop()):
                raise Interrupted(
                    f"Stopped in stage {stage.folder.number}, allocate, after student "
                    f"{done} of {total}; the stage begins anew"
                )

        def make(keep: ClipKeep) -> Clip:
            return solve(model, keep, pairs, ridges, engine.summed).model

        search = Search(
            model,
            _carried(stage, model, pairs) if measured is None else measured.scores,
            make,
            judge,
            stage.settings.sites,
            watch,
            done,
            {} if measured is None else measured.curves,
        )
        if measured is None:
            search.measure(stage.goal.towers)
            _keep_measured(stage, search)
        progress.keep, verdict = search.best(stage.goal, settings.tries, larger)
    if engine.is_main:
        told = search.told(verdict)
        if stage.larger is not None:
            told["nested_in"] = stage.larger.path.name
        stage.folder.write("allocation.json", told)


def _carried(
    stage: StageContext, model: Clip, pairs: Sequence[Pairs]
) -> dict[str, Tensor]:
    """What units carry, on the CPU, wherever they were looked at."""
    scores = carried(model, pairs, stage.engine.summed)
    return {name: score_U.cpu() for name, score_U in scores.items()}


def _asked(stage: StageContext) -> dict[str, Any]:
    """The settings that what is measured depends on."""
    settings = stage.settings
    return {
        "rotate": asdict(settings.rotate),
        "samples": settings.allocate.samples,
        "judged": settings.allocate.judged,
        "solve": asdict(settings.solve),
        "sites": settings.sites,
    }


def _measured(stage: StageContext) -> Measured | None:
    """What an earlier stage measured, if all processes have it."""
    basis = stage.basis
    measured = None if basis is None else basis.measured(_asked(stage))
    absent = stage.engine.anywhere(measured is None)
    return None if absent else measured


def _keep_measured(stage: StageContext, search: Search) -> None:
    """Leave it to later stages that start from the teacher, too."""
    basis = stage.basis
    if basis is not None and stage.engine.is_main:
        measured = Measured(dict(search.scores), search.curves, search.judged)
        basis.keep_measured(_asked(stage), measured)
