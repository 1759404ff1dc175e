"""One step down: the phases of a stage in order."""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import torch
from torch import Tensor

from .. import cost
from ..config.load import to_yaml
from ..config.schema import Stage
from ..data.batch import Batch
from ..errors import TinyclipError
from ..goal import TOLERANCE
from ..inherit.certify import certify
from ..inherit.manual import manual_keep
from ..inherit.score import magnitude_scores, taylor_scores
from ..inherit.slicing import inherit
from ..keep import keep_to_dict
from ..losses.contrastive import contrastive
from ..masks.choose import choose, choose_by_scores
from ..masks.gates import Gates
from ..model.clip import Clip
from ..model.store import Loaded, load_model, save_model
from ..training.loop import Setting, run_phase
from ..training.optim import slice_moments
from ..training.phases import DistilPhase, LearnPhase, Pupil, TrainingPhase
from ..training.state import Checkpoints
from .estimate import goal_of
from .handover import Progress, channels_left
from .run_dir import StageDir
from .workshop import Workshop, on_cpu

log = logging.getLogger("tinyclip")


class StageRunner:
    """Executes one stage.

    Args:
        shop: what the run works with.
        folder: the stage's folder.
        stage: its settings.
        target: share of the run's teacher.
        first_sample: pairs the run has seen before.
        chained: the stage's fingerprint.
        channels: of the teacher's embedding that the model has; None for all.
    """

    def __init__(
        self,
        shop: Workshop,
        folder: StageDir,
        stage: Stage,
        target: float,
        first_sample: int,
        chained: str,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        self.shop, self.folder, self.stage = shop, folder, stage
        self.first_sample, self.chained = first_sample, chained
        self.channels, recipe = channels, shop.recipe
        self.main = shop.engine.is_main  # it writes the files
        self.goal = goal_of(recipe, shop.teacher.model.shape, target)
        self.checkpoints = Checkpoints(folder.checkpoints, recipe.checkpoints)

    def run(self, model: Clip) -> Loaded:
        """Take `model` one step down; leaves a whole, measured model directory.

        Raises:
            Interrupted: asked to stop; the state is saved.
            UserError: the budget cannot be met.
            TinyclipError: the certificate is out of bounds.
        """
        if self.main:
            self.folder.write_text("stage.yaml", to_yaml(self.stage))
        phases = self.stage.phases
        # what is trained before it is cut is a copy: the model may be the teacher
        if "learn" in phases or "inherit" not in phases:
            model = copy.deepcopy(model)
        now = Progress(model, self.first_sample, channels=self.channels)
        for phase in self.stage.phases:
            getattr(self, phase)(now)
        if self.main:
            self._store(now)
        self.shop.engine.wait()
        return load_model(self.folder.model)

    # the phases, by the names they have in YAML

    def learn(self, now: Progress) -> None:
        """Learn gates under the budget, and choose what they leave open."""
        settings, shop = self.stage.learn, self.shop
        self._match_scale(now.model)
        gates = Gates(
            now.model.shape,
            self.stage.sites,
            self.goal.towers,
            pool=self.goal.uniform,
        )
        self._open_gates(gates, now.model)
        phase = LearnPhase(
            now.model,
            gates,
            self._teacher(),
            shop.engine,
            settings,
            # stage 2 starts at its real 0.75, not at the round figure
            self.goal.share(now.model.shape),
            self.goal,
            shop.noise_seed(self.folder.number),
            self._pupil(now),
        )
        self._train(phase, now)
        now.model, gates = on_cpu(phase.model), phase.gates.cpu()
        now.moments = phase.optimizer.state()
        now.keep = choose(gates, self.goal)

    def score(self, now: Progress) -> None:
        """Rank units by Torch-Pruning's importance instead of learned gates."""
        scores = self._scores(now.model, self.stage.score.importance)
        now.keep = choose_by_scores(
            now.model.shape, scores, self.goal, sites=self.stage.sites
        )

    def manual(self, now: Progress) -> None:
        """Evenly spaced layers, leading or evenly spaced units; no importance."""
        now.keep = manual_keep(now.model.shape, self.goal, self.stage.manual)

    def inherit(self, now: Progress) -> None:
        """Slice the survivors out exactly, and prove it on real pairs."""
        assert now.keep is not None, "config.load lets no stage inherit without a keep"
        shape = now.model.shape
        student = inherit(now.model, now.keep)
        self._check_size(student)
        if self.main:
            batch = self.shop.certify_batch()
            pair = batch.pixels, batch.tokens_BT
            now.certificate = certify(now.model, now.keep, student, *pair)
            self.folder.write("keep.json", keep_to_dict(now.keep))
            self.folder.write("certificate.json", now.certificate)
        carried = now.moments if self.stage.carry_optimizer else {}
        now.moments = slice_moments(carried, now.keep, shape)
        now.channels = channels_left(now.channels, now.keep, shape)
        now.model = student

    def distil(self, now: Progress) -> None:
        """The student learns from the run's teacher."""
        self._match_scale(now.model)
        phase = DistilPhase(
            now.model,
            self._teacher(),
            self.shop.engine,
            self.stage.distil,
            self._pupil(now),
        )
        phase.optimizer.load(now.moments)
        self._train(phase, now)
        now.model, now.moments = on_cpu(phase.model), {}

    # what the phases lean on

    def _pupil(self, now: Progress) -> Pupil:
        return Pupil(self.stage.scale, self.shop.recipe.towers, now.channels)

    def _teacher(self) -> Any:
        self.shop.loader(self.stage.batch)
        return self.shop.teacher_for(self.stage.scale)

    def _match_scale(self, model: Clip) -> None:
        """A fixed scale is the student's too, as in the published code."""
        if self.stage.scale is not None:
            with torch.no_grad():
                model.logit_scale.fill_(math.log(self.stage.scale))
            model.logit_scale.requires_grad_(False)

    def _open_gates(self, gates: Gates, model: Clip) -> None:
        init = self.stage.learn.init
        if init == "constant":
            gates.init_constant(self.stage.learn.init_open)
            return
        gates.init_from_scores(self._scores(model, init), self.stage.learn.init_open)

    def _scores(self, model: Clip, kind: str) -> Any:
        if kind == "magnitude":
            return magnitude_scores(model)
        wanted = self.stage.score.samples
        if "learn" in self.stage.phases:
            wanted = self.stage.learn.init_samples
        device = self.shop.engine.device
        steps = max(1, wanted // self.stage.batch)

        # the model's own contrastive loss: at the start of stage 1 the student is the
        # teacher, and the gradient of a distance to itself is 0
        def loss(one: Clip, batch: Batch) -> Tensor:
            return contrastive(one(batch.pixels.to(device), batch.tokens_BT.to(device)))

        batches = self.shop.batches(self.stage.batch, steps)
        model.requires_grad_(True)  # a teacher's was taken away
        return taylor_scores(self.shop.engine.place(model), batches, loss)

    def _train(self, phase: TrainingPhase, now: Progress) -> None:
        shop, batch = self.shop, self.stage.batch
        setting = Setting(
            stage=self.folder.number,
            batch=batch,
            samples=now.samples,
            log_every=shop.recipe.log_every,
            checkpoint_every=shop.recipe.checkpoint_every,
            checkpoints=self.checkpoints,
            metrics=shop.run.metrics,
            watcher=shop.watcher,
            stop=shop.stop,
            extra={"fingerprint": self.chained},
            accumulate=self.stage.accumulate,
            guard=(
                shop.recipe.max_skipped_share,
                shop.recipe.divergence,
                shop.recipe.divergence_steps,
            ),
        )
        recipe, engine = shop.recipe, shop.engine
        with engine.tuned(phase.model, recipe.recompute, recipe.compile):
            run_phase(phase, shop.loader(batch), engine, setting)
        now.samples += phase.steps * batch

    def _check_size(self, student: Clip) -> None:
        counted, target = self.goal.share(student.shape), self.goal.target
        if abs(counted / target - 1) > TOLERANCE:
            raise TinyclipError(
                f"stage {self.folder.number}: {counted:.4f} of the teacher was kept "
                f"where {target:.4f} was asked for"
            )

    def _store(self, now: Progress) -> None:
        """Write the model directory, measured, and what says that the stage is done."""
        shop = self.shop
        model = on_cpu(now.model).eval()
        provenance = {
            "teacher": shop.recipe.teacher,
            "recipe": shop.recipe.name,
            "fingerprint": self.chained,
            "stage": self.folder.number,
            "budget": self.goal.budget,
            "target": self.goal.target,
            "towers": list(self.goal.towers),
            "data": shop.recipe.data.source,
            "samples": now.samples,
        }
        base = shop.base
        metrics = None
        if shop.recipe.evaluate:
            shop.watcher.phase(self.folder.number, "evaluate", 0, 1)
            student = Loaded(model, base.preprocess, base.tokenizer, {})
            metrics = shop.measure(student, shop.teacher_values())
        save_model(
            self.folder.model,
            model,
            base.preprocess,
            base.tokenizer,
            provenance=provenance,
            teacher_sizes=cost.sizes(shop.teacher.model.shape),
            certificate=now.certificate,
            metrics=metrics,
        )
        self.folder.write(
            "done.json",
            {
                "fingerprint": self.chained,
                "samples": now.samples,
                "sizes": cost.sizes(model.shape),
            },
        )
        self.checkpoints.clear()
