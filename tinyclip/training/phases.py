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
from ..goal import SizeGoal
from ..losses.objectives import Parts, weighted
from ..losses.sparsity import Multipliers, penalty, ramp
from ..masks.expected import expected_shape
from ..masks.gates import Gates
from ..model.clip import Clip, Features
from ..shapes import TOWERS
from .engine import Engine
from .optim import NamedAdamW
from .state import pack
from .teacher.live import Teacher, placed, wide

MAX_LOGIT_SCALE = math.log(100)


@dataclass(frozen=True)
class Pupil:
    """How a student is trained, whatever the phase.

    Args:
        scale: logit scale to use in place of its own.
        towers: which are trained; the others stay as they are.
        channels: which channels of the teacher's embedding it has kept; None for all.
    """

    scale: float | None = None
    towers: tuple[str, ...] = TOWERS
    channels: tuple[int, ...] | None = None

    def freeze(self, model: Clip) -> None:
        """Take the towers that stay as they are out of training."""
        for name in set(TOWERS) - set(self.towers):
            getattr(model, name).requires_grad_(False)


def student_features(
    model: Clip, batch: Batch, engine: Engine, gates: Any, pupil: Pupil
) -> Features:
    """The student's features of a batch, float32 at least."""
    with engine.autocast():
        made = model(*placed(batch, model), gates=gates)
    return beside(model, pupil, wide(made.image_BE), wide(made.text_BE))


def beside(model: Clip, pupil: Pupil, image_BE: Tensor, text_BE: Tensor) -> Features:
    """Features together with what stands beside them in a loss."""
    scale, kept = model.logit_scale.exp(), pupil.channels
    if pupil.scale is not None:
        scale = torch.full_like(scale, pupil.scale)
    channels_E = None if kept is None else torch.tensor(kept, device=scale.device)
    return Features(image_BE, text_BE, scale, model.logit_bias, channels_E)


def most_scale(model: Clip) -> float:
    """Where the logit scale is kept from growing: at CLIP's 100 (its logarithm), or
    where the model already is; SigLIP's are above."""
    return max(MAX_LOGIT_SCALE, float(model.logit_scale.detach()))


class DistilPhase:
    """The student learns from the teacher."""

    name = "distil"

    def __init__(
        self,
        model: Clip,
        teacher: Teacher,
        engine: Engine,
        settings: Distil,
        pupil: Pupil,
    ) -> None:
        self.model: Clip = engine.place(model).train()
        pupil.freeze(self.model)
        self.most_scale = most_scale(model)
        self.teacher, self.engine, self.pupil = teacher, engine, pupil
        self.steps, self.weights = settings.steps, settings.losses
        self.optim: Optim = settings.optim
        self.optimizer = NamedAdamW(self.model, settings.optim, None, 0.0)

    def features(self, batch: Batch, _step: int) -> Features:
        """The student's features of some pairs."""
        return student_features(self.model, batch, self.engine, None, self.pupil)

    def objective(
        self, student: Features, teacher: Features, _step: int
    ) -> tuple[Tensor, Parts]:
        """The loss of one whole batch and its parts."""
        return weighted(self.weights, student, teacher)

    @torch.no_grad()
    def after(self) -> None:
        """Keep the logit scale where CLIP keeps it."""
        self.model.logit_scale.clamp_(0, self.most_scale)

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
        pupil: Pupil,
    ) -> None:
        self.model: Clip = engine.place(model).train()
        self.model.requires_grad_(settings.train_weights)
        pupil.freeze(self.model)
        self.most_scale = most_scale(model)
        self.gates: Gates = engine.place(gates)
        self.multipliers: Multipliers = engine.place(
            Multipliers(lr=settings.multiplier_lr)
        )
        self.teacher, self.engine, self.pupil = teacher, engine, pupil
        self.settings, self.seed = settings, seed
        self.start, self.goal = start, goal
        self.steps, self.optim = settings.steps, settings.optim
        self.optimizer = NamedAdamW(
            self.model, settings.optim, self.gates, settings.gate_lr
        )
        self._now: dict[str, float | None] = {}
        self._gap = torch.zeros(())

    def features(self, batch: Batch, step: int) -> Features:
        """The student's features of some pairs, under the step's sample of the gates:
        the same one for all pairs, in every process."""
        noise = torch.Generator(device=self.engine.device)
        noise.manual_seed((self.seed * 1_000_003 + step) % 2**63)
        sample = self.gates.sample(noise)
        return student_features(self.model, batch, self.engine, sample, self.pupil)

    def objective(
        self, student: Features, teacher: Features, step: int
    ) -> tuple[Tensor, Parts]:
        """Distillation on one whole batch, plus the penalty."""
        loss, parts = weighted(self.settings.losses, student, teacher)
        p = self.goal.share(expected_shape(self.gates))
        q = ramp(step, self.steps, self.settings.ramp, self.start, self.goal.target)
        pushed = penalty(p, q, self.multipliers, self.settings.penalty)
        self._gap = (p - q).detach()
        self._now = {"p": p.detach(), "q": q}  # type: ignore[dict-item]
        return loss + pushed, {**parts, "sparsity": pushed.detach()}

    @torch.no_grad()
    def after(self) -> None:
        """Clamp the gates, let λ and β climb, bound the logit scale."""
        self.gates.clamp_()
        self.multipliers.ascend(self._gap)
        self.model.logit_scale.clamp_(0, self.most_scale)

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
