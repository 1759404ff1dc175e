"""The rotate phase: streams and heads in their principal bases, exactly."""

from __future__ import annotations

from dataclasses import asdict

from ...inherit.certify import certify_same
from ...inherit.rotate import rotate
from ...model.clip import Clip
from ..basis import Turned
from ..context import on_cpu
from ..handover import Progress
from ..stage_context import StageContext


def run(stage: StageContext, progress: Progress) -> None:
    """Turn the model into its bases, and prove on real pairs that it is the same.

    The teacher's are made once a run, for all stages that start from it.

    Raises:
        TinyclipError: the certificate is out of bounds.
    """
    engine, basis = stage.engine, stage.basis
    settings = asdict(stage.settings.rotate)
    stage.run.watcher.phase(stage.folder.number, "rotate", 0, 1)
    turned = None if basis is None else basis.turned(settings)
    absent = engine.anywhere(turned is None)  # all have looked before one writes
    if absent or turned is None:
        turned = _turned(stage, progress.model)
        if basis is not None and engine.is_main:
            basis.keep_turned(settings, turned)
    if engine.is_main:
        told = turned.told
        stage.folder.write("rotation.json", told)
        certificate = {key: value for key, value in told.items() if key != "spectra"}
        progress.certificate = {"rotated": certificate}
    stage.run.watcher.step({"step": 1})
    # what moments were of is no longer there
    progress.model, progress.moments = turned.model, {}


def _turned(stage: StageContext, model: Clip) -> Turned:
    """The model in its bases; the main process certifies it."""
    with stage.looking(model) as (placed, batches):
        settings = stage.settings.rotate
        pairs = batches(settings.samples)
        made = rotate(placed, pairs, stage.engine.summed, settings.variance)
    rotated = on_cpu(stage.engine.shared(made.model))
    if not stage.engine.is_main:
        return Turned(rotated, {})
    batch = stage.run.certify_batch()
    certificate = certify_same(model, rotated, batch.pixels, batch.tokens_BT)
    spectra = {name: held_K.tolist() for name, held_K in made.spectra.items()}
    return Turned(rotated, {**certificate, "spectra": spectra})
