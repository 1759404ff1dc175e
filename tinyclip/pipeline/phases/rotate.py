"""The rotate phase: streams and heads in their principal bases, exactly."""

from __future__ import annotations

from ...inherit.certify import certify_same
from ...inherit.rotate import rotate
from ..context import on_cpu
from ..handover import Progress
from ..stage_context import StageContext


def run(stage: StageContext, progress: Progress) -> None:
    """Turn the model into its bases, and prove on real pairs that it is the same.

    Raises:
        TinyclipError: the certificate is out of bounds.
    """
    run, model = stage.run, progress.model
    settings = stage.settings.rotate
    run.watcher.phase(stage.folder.number, "rotate", 0, 1)
    with stage.looking(model) as (placed, batches):
        turned = rotate(placed, batches(settings.samples), stage.engine.summed)
    rotated = on_cpu(stage.engine.shared(turned.model))
    if stage.engine.is_main:
        batch = run.certify_batch()
        certificate = certify_same(model, rotated, batch.pixels, batch.tokens_BT)
        progress.certificate = {"rotated": certificate}
        spectra = {name: held_K.tolist() for name, held_K in turned.spectra.items()}
        stage.folder.write("rotation.json", {**certificate, "spectra": spectra})
    run.watcher.step({"step": 1})
    # what moments were of is no longer there
    progress.model, progress.moments = rotated, {}
