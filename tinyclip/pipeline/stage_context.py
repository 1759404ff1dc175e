"""What the phases of a stage work with: the run, the stage's settings and its goal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..config.phases.phase import TrainingSettings
from ..config.schema import Stage
from ..data.batch import Batch, Batches
from ..data.unpaired import MixedLoader
from ..goal import SizeGoal
from ..inherit.certify import exact_float32
from ..inherit.score import hessian_scores, magnitude_scores, taylor_scores
from ..losses.contrastive import contrastive
from ..model.clip import Clip
from ..training.engine import Engine
from ..training.loop import Surroundings, run_phase
from ..training.needs.provider import Offered
from ..training.phase import Student, TrainingPhase
from ..training.state import Checkpoints
from ..training.teacher.beside import Beside
from ..training.teacher.live import Teacher, placed
from .basis import Basis
from .context import RunContext
from .estimate import goal_of
from .handover import Progress
from .plan import shared_fingerprint
from .run_dir import StageDir
from .teachers import EarlierStudent, StageTeachers
from .unpaired import in_phase, seen_until

LITTLE = 1e-9  # of what the best unit carries: all below is as good as nothing
Look = Callable[[int], list[Batch]]  # so many pairs, of each process its part


@dataclass(frozen=True)
class StageContext:
    """What the phases of a stage lean on.

    Args:
        run: what the run works with.
        settings: the stage's.
        goal: the size that it is to leave.
        folder: the stage's.
        fingerprint: of its settings and of all that came before it.
        larger: the stage whose student this one's is to be nested in.
        made_from: what `teachers.made_of` says of the weights that it is made of.
        earlier: the students of the stages before.
    """

    run: RunContext
    settings: Stage
    goal: SizeGoal
    folder: StageDir
    fingerprint: str
    larger: StageDir | None = None
    made_from: str | None = None
    earlier: tuple[EarlierStudent, ...] = ()

    @classmethod
    def of(
        cls,
        run: RunContext,
        settings: Stage,
        target: float,
        folder: StageDir,
        fingerprint: str,
        larger: StageDir | None = None,
        made_from: str | None = None,
        earlier: tuple[EarlierStudent, ...] = (),
    ) -> StageContext:
        """The context of a stage that is to leave a share of the run's teacher."""
        goal = goal_of(run.recipe, run.teacher.model.shape, target)
        before = larger, made_from, earlier
        return cls(run, settings, goal, folder, fingerprint, *before)

    @property
    def basis(self) -> Basis | None:
        """What it shares with others that start from the teacher."""
        if not self.settings.from_teacher:
            return None
        made_of = shared_fingerprint(self.run.recipe, self.run.fingerprints())
        return Basis(self.run.folder.basis, made_of)

    @property
    def engine(self) -> Engine:
        return self.run.engine

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder.checkpoints, self.run.recipe.checkpoints)

    @property
    def noise_seed(self) -> int:
        """Of the gates' noise."""
        return self.run.seed_of(self.folder.number, "gates")

    @cached_property
    def teachers(self) -> StageTeachers:
        """Who teaches in it."""
        seed = self.run.seed_of(self.folder.number, "assistants")
        return StageTeachers(self.run, self.settings, self.earlier, seed)

    def teacher(self, phase: TrainingSettings) -> Teacher:
        """The one that always teaches a phase."""
        return self.teachers.first(phase)

    def beside(self, phase: TrainingSettings) -> Beside:
        """Who teaches a phase beside it."""
        return self.teachers.beside(phase)

    def student(self, progress: Progress) -> Student:
        """How the student is trained."""
        run = self.run
        return Student(
            self.settings.scale,
            run.recipe.towers,
            progress.channels,
            run.teacher.model.shape.embed_dim,
            run.seed_of(self.folder.number, "objectives"),
        )

    def offered(self, progress: Progress, phase: TrainingSettings) -> Offered:
        """What objectives that need more than features can have it from."""
        return Offered(
            self.engine,
            self.run.loader(self.settings.batch),
            self.teacher(phase),
            lambda: self.teachers.live(phase),
            self.student(progress).seed,
            self._told,
        )

    def _told(self, name: str, done: int, total: int) -> None:
        """Tell who looks on of what takes long before a phase's first step."""
        watcher = self.run.watcher
        if done == 0:
            watcher.phase(self.folder.number, name, 0, total)
        watcher.step({"step": done})

    def match_scale(self, model: Clip) -> None:
        """A fixed scale is the student's too, as in the published code."""
        if self.settings.scale is not None:
            with torch.no_grad():
                model.logit_scale.fill_(math.log(self.settings.scale))
            model.logit_scale.requires_grad_(False)

    def scores(self, model: Clip, kind: str, samples: int) -> Any:
        """The importance of every unit, by Torch-Pruning's criteria.

        Args:
            kind: `magnitude`, `taylor` or `hessian`.
            samples: pairs that the last two look at, in whole batches.
        """
        if kind == "magnitude":
            return magnitude_scores(model)
        batch = self.settings.batch
        batches = self.run.batches(batch, max(1, samples // batch))
        model.requires_grad_(True)  # a teacher's was taken away
        model = self.engine.place(model)
        if kind == "hessian":
            return hessian_scores(model, self._pair_losses(model, batches))

        # the model's own contrastive loss: at the start of stage 1 the student is the
        # teacher, and the gradient of a distance to itself is 0
        def loss(student: Clip, pairs: Batch) -> Tensor:
            return contrastive(student(*placed(pairs, student)))

        return taylor_scores(model, batches, loss)

    @staticmethod
    def _pair_losses(model: Clip, batches: Iterable[Batch]) -> Iterator[Tensor]:
        """What each pair has of the gradient of its batch's contrastive loss: its
        features times the loss's gradient there, the other pairs held fixed."""
        for batch in batches:
            with torch.no_grad():
                features = model(*placed(batch, model))
            image_BE = features.image_BE.requires_grad_()
            text_BE = features.text_BE.requires_grad_()
            slopes = torch.autograd.grad(contrastive(features), (image_BE, text_BE))
            for pair in torch.arange(len(batch)).split(1):
                own = model(*placed(batch.rows(pair), model))
                yield (own.image_BE * slopes[0][pair]).sum() + (
                    own.text_BE * slopes[1][pair]
                ).sum()

    @contextmanager
    def looking(self, model: Clip) -> Iterator[tuple[Clip, Look]]:
        """The model as it is looked at, in eval and float32 on the engine's device, and
        what gives so many pairs; the model is left where it was."""
        was = model.training, model.logit_scale.device
        try:
            with exact_float32(self.engine.device):
                yield self.engine.place(model.eval()), self.run.looked_at
        finally:
            model.train(was[0]).to(was[1])

    def seen_beside(self, phase: str, steps: int) -> dict[str, int]:
        """What the run has seen beside its pairs after so many steps of a phase."""
        recipe, settings = self.run.recipe, self.settings
        each = in_phase(recipe, settings, settings.running()[phase])
        seen = seen_until(recipe, self.folder.number - 1, before=phase)
        return {kind: seen[kind] + steps * each[kind] for kind in seen}

    def train(self, phase: TrainingPhase, progress: Progress) -> None:
        """Train a phase from wherever it is to its end.

        Raises:
            Interrupted, TinyclipError: as `training.loop.run_phase`.
        """
        run, batch = self.run, self.settings.batch
        recipe = run.recipe
        surroundings = Surroundings(
            stage=self.folder.number,
            batch=batch,
            samples=progress.samples,
            log_every=recipe.log_every,
            checkpoint_every=recipe.checkpoint_every,
            checkpoints=self.checkpoints,
            metrics=run.folder.metrics,
            watcher=run.watcher,
            stop=run.stop,
            made_of={"fingerprint": self.fingerprint, "made_from": self.made_from},
            accept=run.accept,
            beside=lambda steps: self.seen_beside(phase.name, steps),
            accumulate=self.settings.accumulate,
            guard=(
                recipe.max_skipped_share,
                recipe.divergence,
                recipe.divergence_steps,
            ),
        )
        batches: Batches = run.loader(batch)
        if any(objective.sees_unpaired for objective in phase.losses):
            beside = run.unpaired.loader(self.settings)
            batches = MixedLoader(run.loader(batch), beside)
        with run.engine.tuned(phase.model, recipe.recompute, recipe.compile):
            run_phase(phase, batches, run.engine, surroundings)
        progress.samples += phase.steps * batch
