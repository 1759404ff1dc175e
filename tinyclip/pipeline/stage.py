"""One step down: the phases of a stage in order."""

from __future__ import annotations

import copy
import logging

from .. import cost
from ..config.load import to_yaml
from ..errors import UserError
from ..model.clip import Clip
from ..model.store import Loaded, load_model, save_model
from ..model.weights import not_numbers
from .belief import seal_stage
from .context import on_cpu
from .handover import Progress
from .origin import provenance
from .phases import phase_called
from .stage_context import StageContext

log = logging.getLogger("tinyclip")


def run_stage(
    stage: StageContext,
    model: Clip,
    samples: int,
    channels: tuple[int, ...] | None = None,
) -> Loaded:
    """Take a model one step down; leaves a whole, measured model directory.

    Args:
        samples: pairs that the run has seen before.
        channels: of the teacher's embedding that the model has; None for all.

    Raises:
        Interrupted: asked to stop; the state is saved.
        UserError: the budget cannot be met.
        TinyclipError: the certificate is out of bounds.
    """
    main = stage.engine.is_main  # it writes the files
    if main:
        stage.folder.write_text("stage.yaml", to_yaml(stage.settings))
    # what is trained before it is cut is a copy: the model may be the teacher
    if stage.settings.trains_uncut:
        model = copy.deepcopy(model)
    progress = Progress(model, samples, channels=channels)
    for name in stage.settings.phases:
        phase_called(name)(stage, progress)
    if main:
        _store(stage, progress)
    stage.engine.wait()
    return load_model(stage.folder.model)


def _store(stage: StageContext, progress: Progress) -> None:
    """Write the model directory, measured, and what says that the stage is done."""
    run, folder, goal = stage.run, stage.folder, stage.goal
    model = on_cpu(progress.model).eval()
    wrong = not_numbers(model)
    if wrong:
        raise UserError(
            f"stage {folder.number}",
            f"its student {wrong}",
            "Try a lower learning rate or a greater eps, or precision: fp32, with "
            f"--from-stage {folder.number}",
        )
    # what shares count is told, too
    teacher_sizes = cost.sizes(run.teacher.model.shape)
    if goal.budget not in teacher_sizes and goal.reference is not None:
        teacher_sizes[goal.budget] = int(goal.reference)
    base = run.base
    metrics = None
    if run.recipe.evaluate:
        run.watcher.phase(folder.number, "evaluate", 0, 1)
        student = Loaded(model, base.preprocess, base.tokenizer, {})
        metrics = run.measure(student)
    save_model(
        folder.model,
        model,
        base.preprocess,
        base.tokenizer,
        provenance=provenance(stage, progress.samples),
        teacher_sizes=teacher_sizes,
        certificate=progress.certificate,
        metrics=metrics,
    )
    told = {"samples": progress.samples, "sizes": cost.sizes(model.shape)}
    seal_stage(folder, stage.fingerprint, stage.made_from, told)
    stage.checkpoints.clear()
