"""The manual phase: units chosen by hand, no importance at all."""

from __future__ import annotations

from ...inherit.manual import manual_keep
from ..handover import Progress
from ..stage_context import StageContext


def run(stage: StageContext, progress: Progress) -> None:
    """Evenly spaced layers, leading or evenly spaced units."""
    progress.keep = manual_keep(progress.model.shape, stage.goal, stage.settings.manual)
