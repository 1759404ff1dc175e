"""Every stage of a run in turn: those that are whole are read, the others are run."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config.schema import Stage
from ..errors import Interrupted
from ..model.clip import Clip
from ..model.store import load_model
from ..training.state import Checkpoints
from .belief import WEIGHTS, Link, weights_of
from .context import RunContext
from .family import larger_member
from .handover import channels_left
from .plan import Plan, stage_fingerprints
from .replaced import Replaced
from .run_dir import StageDir
from .stage import run_stage
from .stage_context import StageContext
from .teachers import EarlierStudent, made_of


@dataclass
class _Descent:
    """How far down a run is.

    Args:
        model: what the next stage starts from.
        samples: pairs that the run has seen on the way to it.
        channels: of the teacher's embedding that it has; None for all.
        made_from: SHA-256 of its weights; None for the teacher's.
        students: of the stages that are whole.
    """

    context: RunContext
    plan: Plan
    folders: list[StageDir]
    model: Clip
    samples: int = 0
    channels: tuple[int, ...] | None = None
    made_from: str | None = None
    students: list[EarlierStudent] = field(default_factory=list)

    def start(self) -> None:
        """From the teacher again."""
        self.model, self.samples = self.context.base.model, 0
        self.channels = self.made_from = None

    def step(self, place: int, stage: Stage, fingerprint: str) -> None:
        """Read a stage that is whole, or run it.

        Raises:
            UserError, Interrupted, TinyclipError: as `run_stage`; or what is there is
                not what the run wrote.
        """
        context, folder = self.context, self.folders[place]
        main = context.engine.is_main
        made_from = made_of(stage, self.students, self.made_from)
        link = Link(context.folder, fingerprint, made_from, context.accept, main)
        done = link.done(folder)
        context.engine.wait()  # all have looked before one writes
        if done is None:
            self._run(place, stage, fingerprint, made_from)
            self.made_from = weights_of(folder)
            return
        if main:
            Checkpoints(folder.checkpoints, 1).clear()  # killed before it could
        self.model, self.samples = load_model(folder.model).model, done["samples"]
        self.made_from = done["files"][WEIGHTS]

    def _run(
        self, place: int, stage: Stage, fingerprint: str, made_from: str | None
    ) -> None:
        context, folder = self.context, self.folders[place]
        larger = larger_member(context.recipe.stages, place)
        stage_context = StageContext.of(
            context,
            stage,
            context.recipe.spans[place][1],
            folder,
            fingerprint,
            None if larger is None else self.folders[larger],
            made_from,
            tuple(self.students),
        )
        self.model = run_stage(
            stage_context, self.model, self.samples, self.channels
        ).model
        steps = sum(self.plan.stages[place].phases.values())
        self.samples += steps * stage.batch

    def cut(self, folder: StageDir) -> None:
        """What the stage kept of the embedding; its student may teach from now on."""
        keep = folder.keep()
        if keep is not None:
            # the student's own shape: one that was rotated has lost none of them
            self.channels = channels_left(self.channels, keep, self.model.shape)
        student = EarlierStudent(folder, self.channels, self.made_from)
        self.students.append(student)


def run_stages(context: RunContext, plan: Plan) -> None:
    """Every stage that is not whole yet, then the final model in its place.

    Raises:
        UserError, Interrupted, TinyclipError: as `run_stage`; or what is there is not
            what the run wrote.
    """
    run, recipe = context.folder, context.recipe
    folders = run.stages(recipe)
    descent = _Descent(context, plan, folders, context.base.model)
    fingerprints = stage_fingerprints(recipe, plan.fingerprints)
    for place, (stage, fingerprint) in enumerate(
        zip(recipe.stages, fingerprints, strict=True)
    ):
        if stage.from_teacher:
            descent.start()
        descent.step(place, stage, fingerprint)
        descent.cut(folders[place])
        if context.engine.anywhere(context.stop()) and place + 1 < len(folders):
            raise Interrupted(f"Stopped after stage {place + 1}")
    if context.engine.is_main:
        run.publish(folders[-1].model)
        Replaced(run).drop()
    context.engine.wait()
