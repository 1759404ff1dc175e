"""What one step of a training phase computes.

Both phases are the same to the loop: a loss on a batch, and what follows the update.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Distil, Learn, Optim
from ..data.batch import Batch
from ..losses.distill import Parts, weighted
from ..losses.sparsity import Multipliers, penalty, ramp
from ..masks.expected import expected_size
from ..masks.gates import Gates
from ..model.clip import Clip, Features
from .engine import Engine
from .optim import NamedAdamW
from .state import pack
from .teacher import Teacher

MAX_LOGIT_SCALE = math.log(100)


@dataclass(frozen=True)
class Budget:
    """From which share of the run's teacher to which, counted how."""

    kind: str
    reference: int
    start: float
    target: float


def student_features(
    model: Clip, batch: Batch, engine: Engine, gates: Any, scale: float | None
) -> Features:
    """The student's features of a batch, float32."""
    device = engine.device
    with engine.autocast():
        made = model(batch.pixels.to(device), batch.tokens_BT.to(device), gates=gates)
    used = made.scale if scale is None else torch.full_like(made.scale, scale)
    return Features(made.image_BE.float(), made.text_BE.float(), used)


class DistilPhase:
    """The student learns from the teacher."""

    name = "distil"

    def __init__(
        self,
        model: Clip,
        teacher: Teacher,
        engine: Engine,
        settings: Distil,
        scale: float | None,
    ) -> None:
        self.model: Clip = engine.place(model).train()
        self.teacher, self.engine, self.scale = teacher, engine, scale
        self.steps, self.weights = settings.steps, settings.losses
        self.optim: Optim = settings.optim
        self.optimizer = NamedAdamW(self.model, settings.optim, None, 0.0)

    def losses(self, batch: Batch, _step: int) -> tuple[Tensor, Parts]:
        """The loss of one batch and its parts."""
        student = student_features(self.model, batch, self.engine, None, self.scale)
        return weighted(self.weights, student, self.teacher.features(batch))

    @torch.no_grad()
    def after(self) -> None:
        """Keep the logit scale where CLIP keeps it: at most 100."""
        self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)

    def record(self) -> dict[str, float | None]:
        """No budget is being pushed on."""
        return {"p": None, "q": None, "lambda": None, "beta": None}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that resumes, flat."""
        return pack(self.model.state_dict(), self.optimizer.state())


class LearnPhase:
    """Gates, and weights with them, are trained under distillation and the budget.

    Args:
        gates: already initialised.
        budget: shares of the run's teacher.
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
        budget: Budget,
        seed: int,
        scale: float | None,
    ) -> None:
        self.model: Clip = engine.place(model).train()
        self.model.requires_grad_(settings.train_weights)
        self.gates: Gates = engine.place(gates)
        self.multipliers: Multipliers = engine.place(
            Multipliers(lr=settings.multiplier_lr)
        )
        self.teacher, self.engine, self.scale = teacher, engine, scale
        self.settings, self.budget, self.seed = settings, budget, seed
        self.steps, self.optim = settings.steps, settings.optim
        self.optimizer = NamedAdamW(
            self.model, settings.optim, self.gates, settings.gate_lr
        )
        self._now: dict[str, float | None] = {}
        self._gap = torch.zeros(())

    def losses(self, batch: Batch, step: int) -> tuple[Tensor, Parts]:
        """Distillation under one sample of the gates, plus the penalty."""
        noise = torch.Generator(device=self.engine.device)
        noise.manual_seed((self.seed * 1_000_003 + step) % 2**63)
        sample = self.gates.sample(noise)
        student = student_features(self.model, batch, self.engine, sample, self.scale)
        loss, parts = weighted(
            self.settings.losses, student, self.teacher.features(batch)
        )
        budget = self.budget
        p = expected_size(self.gates, budget.kind) / budget.reference
        q = ramp(step, self.steps, self.settings.ramp, budget.start, budget.target)
        pushed = penalty(p, q, self.multipliers, self.settings.penalty)
        self._gap = (p - q).detach()
        self._now = {"p": p.detach(), "q": q}  # type: ignore[dict-item]
        return loss + pushed, {**parts, "sparsity": pushed.detach()}

    @torch.no_grad()
    def after(self) -> None:
        """Clamp the gates, let λ and β climb, bound the logit scale."""
        self.gates.clamp_()
        self.multipliers.ascend(self._gap)
        self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)

    def record(self) -> dict[str, float | None]:
        """Where the budget stands after the step."""
        return {
            "p": float(self._now["p"] or 0.0),
            "q": self._now["q"],
            "lambda": float(self.multipliers.lambda_),
            "beta": float(self.multipliers.beta),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything that resumes, flat."""
        return pack(
            self.model.state_dict(),
            self.optimizer.state(),
            gates=self.gates.state_dict(),
            multipliers=self.multipliers.state_dict(),
        )


TrainingPhase = DistilPhase | LearnPhase
