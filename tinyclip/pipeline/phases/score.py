"""The score phase: units ranked by Torch-Pruning's importance, nothing learned."""

from __future__ import annotations

from ...masks.choose import choose_by_scores
from ..handover import Progress
from ..stage_context import StageContext


def run(stage: StageContext, now: Progress) -> None:
    """Rank units by importance instead of learned gates."""
    settings = stage.settings.score
    scores = stage.scores(now.model, settings.importance, settings.samples)
    now.keep = choose_by_scores(
        now.model.shape, scores, stage.goal, sites=stage.settings.sites
    )
