"""The score phase: units ranked by Torch-Pruning's importance, nothing learned."""

from __future__ import annotations

from ...masks.choose import choose_by_scores
from ..handover import Progress
from ..stage_context import StageContext


def run(stage: StageContext, progress: Progress) -> None:
    """Rank units by importance instead of learned gates."""
    settings = stage.settings.score
    scores = stage.scores(progress.model, settings.importance, settings.samples)
    progress.keep = choose_by_scores(
        progress.model.shape, scores, stage.goal, sites=stage.settings.sites
    )
