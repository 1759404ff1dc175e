"""A temperature that is learned against the student."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...config.setting import setting
from ...losses.objectives import Parts
from ...model.clip import Features
from ..optim import Trainable
from .strategy import Course, Options, Strategy, strategies

BETAS, EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True, kw_only=True)
class CtkdOptions(Options):
    """What can be asked of it."""

    start: float = setting(1.0, "temperature that it starts from", above=0)
    low: float = setting(0.5, "the lowest that it may become", above=0)
    high: float = setting(8.0, "the highest that it may become", above=0)
    strength: float = setting(
        1.0, "λ at the end of the ramp: of its gradient, which goes up", low=0
    )
    ramp: float = setting(
        0.5, "share of the phase's steps over which λ rises", above=0, high=1
    )
    lr: float = setting(0.01, "learning rate of the temperature", above=0)

    def wrong(self) -> str:
        if self.low < self.start < self.high:
            return ""
        return (
            f"starts at {self.start:g}, which is not between low {self.low:g} and high "
            f"{self.high:g}"
        )


class Reversed(torch.autograd.Function):
    """What goes in comes out; its gradient comes back times −λ (Ganin and Lempitsky,
    ICML 2015)."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, share: float) -> Tensor:  # type: ignore[override]
        ctx.share = share
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return -ctx.share * gradient, None


@strategies.register("ctkd")
class Ctkd(Strategy):
    """A temperature that climbs the loss which the student descends, more and more
    (CTKD, Li et al., AAAI 2023, with its global temperature).

    L = τ² D(P(Z/τ), p(z/τ)), λ_n = λ ½ (1 − cos(π min(n/N, 1)))

    It divides the logits z of the student and Z of every teacher in each objective that
    compares distributions (affinity, crd, intra, kd, mimic, sigmoid); τ² gives back the
    size of the gradient, and of a cross-entropy it feels the divergence D alone. The
    gradient by τ is turned round, times λ_n, which rises over the first N steps: from
    easy to hard. τ lies between `low` and `high`, a sigmoid of one learned number in
    their logarithms, where the paper's lies between 1 and 21; a CLIP's logits have
    their own scale in them, so it starts at 1. Logged: `ctkd.temperature`.
    """

    of_distributions = True

    def __init__(self, options: CtkdOptions = CtkdOptions(), *course: Course) -> None:
        super().__init__(options, *course)
        place = math.log(options.start / options.low) / self._range
        self.place = nn.Parameter(torch.tensor(math.log(place / (1 - place))))

    @property
    def _range(self) -> float:
        return math.log(self.options.high / self.options.low)

    @property
    def temperature(self) -> Tensor:
        """τ, a number."""
        return self.options.low * (self._range * self.place.sigmoid()).exp()

    def strength(self, step: int) -> float:
        """λ of a step, from 0."""
        done = min(1.0, step / max(1.0, self.options.ramp * self.course.steps))
        return float(self.options.strength * (1 - math.cos(math.pi * done)) / 2)

    def trainables(self, owner: str) -> tuple[Trainable, ...]:
        parameters = {f"{owner}.place": self.place}
        return (Trainable(parameters, self.options.lr, BETAS, EPS, scheduled=False),)

    def sides(
        self, student: Features, teachers: tuple[Features, ...], step: int
    ) -> tuple[Features, tuple[Features, ...]]:
        reversed_: Tensor = Reversed.apply(self.temperature, self.strength(step))
        student = replace(student, temperature=reversed_)
        return student, tuple(replace(t, temperature=reversed_) for t in teachers)

    def told(self) -> Parts:
        return {"temperature": self.temperature.detach()}
