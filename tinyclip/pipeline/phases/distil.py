"""The distil phase: the student learns from the run's teacher."""

from __future__ import annotations

from ...training.phase import TrainingPhase
from ..context import on_cpu
from ..handover import Progress
from ..stage_context import StageContext


class DistilPhase(TrainingPhase):
    """Nothing but what every phase that trains does."""

    name = "distil"


def run(stage: StageContext, progress: Progress) -> None:
    """The student learns from the run's teacher."""
    stage.match_scale(progress.model)
    settings = stage.settings.distil
    offered = stage.offered(progress, settings)
    phase = DistilPhase(
        progress.model,
        offered.teacher,
        stage.engine,
        settings,
        stage.student(progress),
        offered,
        stage.beside(settings),
    )
    phase.optimizer.load(progress.moments)
    stage.train(phase, progress)
    progress.model, progress.moments = on_cpu(phase.model), {}
