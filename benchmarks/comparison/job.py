"""What a method is given to make one student with, and how any recipe is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinyclip import cost
from tinyclip.config.schema import Recipe
from tinyclip.model.clip import Clip
from tinyclip.model.store import save_model
from tinyclip.pipeline.belief import seal_stage
from tinyclip.pipeline.context import RunContext
from tinyclip.pipeline.plan import stage_fingerprints
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import Silent, execute, open_engine
from tinyclip.pipeline.stage_context import StageContext


@dataclass(frozen=True)
class Job:
    """A run that is begun.

    Args:
        stop: whether to stop.
    """

    run: RunDir
    recipe: Recipe
    stop: Callable[[], bool]

    def context(self) -> RunContext:
        """Teacher, data and engine, for a loop of a benchmark's own."""
        engine = open_engine(self.run, self.recipe)
        return RunContext.open(self.recipe, self.run, engine, Silent(), self.stop)

    def stages(self, context: RunContext) -> list[StageContext]:
        """Each stage's context; one without a target shrinks nothing."""
        prints = stage_fingerprints(self.recipe, context.fingerprints())
        folders = self.run.stages(self.recipe)
        return [
            StageContext.of(context, stage, stage.target or 1.0, folder, fingerprint)
            for stage, folder, fingerprint in zip(
                self.recipe.stages, folders, prints, strict=True
            )
        ]


def run_recipe(job: Job) -> Path:
    """As `tinyclip compress` does; goes on where it was stopped."""
    return execute(Request(job.run.path, resume=True), stop=job.stop).model


def store(stage: StageContext, model: Clip, samples: int) -> Path:
    """Write a model that a loop of a benchmark's own left, and that its stage is
    whole."""
    context = stage.run
    base = context.base
    save_model(
        stage.folder.model,
        model.eval(),
        base.preprocess,
        base.tokenizer,
        provenance={"teacher": context.recipe.teacher, "samples": samples},
        teacher_sizes=cost.sizes(context.teacher.model.shape),
    )
    told = {"samples": samples, "sizes": cost.sizes(model.shape)}
    seal_stage(stage.folder, stage.fingerprint, stage.made_from, told)
    stage.checkpoints.clear()
    return stage.folder.model
