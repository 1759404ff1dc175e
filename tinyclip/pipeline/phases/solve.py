"""The solve phase: what the cut left, solved anew in closed form."""

from __future__ import annotations

from ...config.phases.solve import Solve as SolveSettings
from ...inherit.certify import certify_solved
from ...inherit.solve import Ridges, solve
from ..context import on_cpu
from ..handover import Progress
from ..stage_context import StageContext


def ridges_of(settings: SolveSettings) -> Ridges:
    """What holds the regressions back."""
    return Ridges(
        units=settings.ridge, readers=settings.readers, projection=settings.projection
    )


def run(stage: StageContext, progress: Progress) -> None:
    """Solve dims and ways down anew from the model before the cut, and compare with the
    same formulas in float64.

    Raises:
        TinyclipError: float32 lost more than the certificate allows.
    """
    assert progress.uncut is not None and progress.keep is not None
    run, settings, engine = stage.run, stage.settings.solve, stage.engine
    ridges = ridges_of(settings)
    run.watcher.phase(stage.folder.number, "solve", 0, 1)
    with stage.looking(progress.uncut) as (uncut, batches):
        pairs = batches(settings.samples)
        solved = solve(uncut, progress.keep, pairs, ridges, engine.summed)
    student = on_cpu(engine.shared(solved.model))
    if engine.is_main:
        certificate = certify_solved(
            progress.uncut, progress.keep, run.certify_batch(), ridges
        )
        progress.certificate = {**(progress.certificate or {}), "solved": certificate}
        stage.folder.write("certificate.json", progress.certificate)
        stage.folder.write("solution.json", {**certificate, "lost": solved.lost})
    run.watcher.step({"step": 1})
    # a moment is of a weight, and weights are others now
    progress.model, progress.moments, progress.uncut = student, {}, None
