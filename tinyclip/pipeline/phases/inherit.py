"""The inherit phase: the survivors are cut out, exactly."""

from __future__ import annotations

from ...errors import TinyclipError
from ...goal import TOLERANCE
from ...inherit.certify import certify
from ...inherit.slicing import inherit
from ...keep import keep_to_dict
from ...model.clip import Clip
from ...training.optim import slice_moments
from ..handover import Progress, channels_left
from ..stage_context import StageContext


def run(stage: StageContext, progress: Progress) -> None:
    """Slice the survivors out exactly, and prove it on real pairs.

    Raises:
        TinyclipError: the certificate is out of bounds, or the size is.
    """
    assert progress.keep is not None, "config lets no stage inherit without a keep"
    shape = progress.model.shape
    student = inherit(progress.model, progress.keep)
    _check_size(stage, student)
    if stage.engine.is_main:  # it writes the files
        batch = stage.run.certify_batch()
        pair = batch.pixels, batch.tokens_BT
        certificate = certify(progress.model, progress.keep, student, *pair)
        progress.certificate = {**(progress.certificate or {}), **certificate}
        stage.folder.write("keep.json", keep_to_dict(progress.keep))
        stage.folder.write("certificate.json", progress.certificate)
    carried = progress.moments if stage.settings.carry_optimizer else {}
    progress.moments = slice_moments(carried, progress.keep, shape)
    progress.channels = channels_left(progress.channels, progress.keep, shape)
    progress.uncut = progress.model if stage.settings.solves else None
    progress.model = student


def _check_size(stage: StageContext, student: Clip) -> None:
    counted, target = stage.goal.share(student.shape), stage.goal.target
    if abs(counted / target - 1) > TOLERANCE:  # law 2
        raise TinyclipError(
            f"stage {stage.folder.number}: {counted:.4f} of the teacher was kept "
            f"where {target:.4f} was asked for"
        )
