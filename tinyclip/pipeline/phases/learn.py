"""The learn-masks phase: which units matter, learned under the budget."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...config.schema import Learn
from ...goal import SizeGoal
from ...losses.objectives import Parts
from ...losses.sparsity import PENALTY, Multipliers, penalty, ramp
from ...losses.teachers import Teachers
from ...masks.choose import choose
from ...masks.expected import expected_shape
from ...masks.gates import Gates
from ...model.clip import Clip, Features
from ...model.gating import ClipGates
from ...training.engine import Engine
from ...training.needs.provider import Offered
from ...training.optim import Trainable
from ...training.phase import Student, TrainingPhase
from ...training.teacher.beside import Beside
from ...training.teacher.live import Teacher
from ..context import on_cpu
from ..handover import Progress
from ..stage_context import StageContext

GATE_BETAS = (0.9, 0.999)


class LearnPhase(TrainingPhase):
    """Gates, and weights with them, are trained under distillation and the budget.

    Args:
        gates: already initialised.
        start, goal: from which share of the run's teacher to which.
        seed: of the gates' noise, which is a pure function of (seed, step).
    """

    name = "learn"

    def __init__(
        self,
        model: Clip,
        gates: Gates,
        teacher: Teacher,
        engine: Engine,
        settings: Learn,
        start: float,
        goal: SizeGoal,
        seed: int,
        student: Student,
        offered: Offered | None = None,
        beside: Beside | None = None,
    ) -> None:
        model.requires_grad_(settings.train_weights)
        self.mask: Gates = engine.place(gates)
        self.multipliers: Multipliers = engine.place(
            Multipliers(lr=settings.multiplier_lr)
        )
        self.settings, self.start, self.goal = settings, start, goal
        self.seed = seed
        self._shares: dict[str, float | None] = {}
        self._gap = torch.zeros(())
        super().__init__(model, teacher, engine, settings, student, offered, beside)

    def modules(self) -> dict[str, nn.Module]:
        return {
            **super().modules(),
            "gates": self.mask,
            "multipliers": self.multipliers,
        }

    def trainables(self) -> tuple[Trainable, ...]:
        """The weights, and the gates: no decay, no clipping, a rate of their own.

        A gate's gradient comes mostly from the budget, and must not shrink the
        weights' share of the norm.
        """
        gates = Trainable(
            {f"gates.{name}": value for name, value in self.mask.named_parameters()},
            lr=self.settings.gate_lr,
            betas=GATE_BETAS,
            eps=1e-8,
            scheduled=False,
        )
        return (*super().trainables(), gates)

    def gates(self, step: int) -> ClipGates:
        """The step's sample of the gates: the same one for all pairs, in every
        process."""
        noise = torch.Generator(device=self.engine.device)
        noise.manual_seed((self.seed * 1_000_003 + step) % 2**63)
        return self.mask.sample(noise)

    def objective(
        self, student: Features, teacher: Teachers, step: int
    ) -> tuple[Tensor, Parts]:
        """Distillation on one whole batch, plus the penalty."""
        loss, parts = super().objective(student, teacher, step)
        p = self.goal.share(expected_shape(self.mask))
        q = ramp(step, self.steps, self.settings.ramp, self.start, self.goal.target)
        pushed = penalty(p, q, self.multipliers, self.settings.penalty)
        self._gap = (p - q).detach()
        self._shares = {"p": p.detach(), "q": q}  # type: ignore[dict-item]
        return loss + pushed, {**parts, PENALTY: pushed.detach()}

    def task_loss(self, loss: float, parts: dict[str, float]) -> float:
        return loss - parts[PENALTY]

    @torch.no_grad()
    def after(self) -> None:
        """Clamp the gates, let λ and β climb, bound the logit scale."""
        self.mask.clamp_()
        self.multipliers.ascend(self._gap)
        super().after()

    def record(self) -> dict[str, Any]:
        return {
            "p": float(self._shares["p"] or 0.0),
            "q": self._shares["q"],
            "lambda": float(self.multipliers.lambda_),
            "beta": float(self.multipliers.beta),
            "open": self.openness(),
        }

    @torch.no_grad()
    def openness(self) -> dict[str, float]:
        """The mean probability that a unit is open, by site."""
        means = [p_U.mean() for p_U in self.mask.open_probability().values()]
        return dict(zip(self.mask.alpha, torch.stack(means).tolist(), strict=True))


def run(stage: StageContext, progress: Progress) -> None:
    """Learn gates under the budget, and choose what they leave open."""
    settings, goal = stage.settings.learn, stage.goal
    stage.match_scale(progress.model)
    gates = Gates(
        progress.model.shape, stage.settings.sites, goal.towers, pool=goal.uniform
    )
    if settings.init == "constant":
        gates.init_constant(settings.init_open)
    else:
        scores = stage.scores(progress.model, settings.init, settings.init_samples)
        gates.init_from_scores(scores, settings.init_open)
    offered = stage.offered(progress, settings)
    phase = LearnPhase(
        progress.model,
        gates,
        offered.teacher,
        stage.engine,
        settings,
        # stage 2 starts at its real 0.75, not at the round figure
        goal.share(progress.model.shape),
        goal,
        stage.noise_seed,
        stage.student(progress),
        offered,
        stage.beside(settings),
    )
    stage.train(phase, progress)
    progress.model, gates = on_cpu(phase.model), phase.mask.cpu()
    progress.moments = phase.optimizer.state()
    progress.keep = choose(gates, goal)
