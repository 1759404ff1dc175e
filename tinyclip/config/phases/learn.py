"""The settings of the learn-masks phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..setting import setting
from .phase import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Learn(TrainingSettings):
    """The learn-masks phase: gates, and weights unless told otherwise."""

    chooses: ClassVar[bool] = True

    train_weights: bool = setting(True, "false: gates alone learn, weights stay")
    gate_lr: float = setting(0.1, "learning rate of the gates, constant", above=0)
    multiplier_lr: float = setting(
        0.08, "ascent of lambda and beta, which weigh the budget", above=0
    )
    ramp: float = setting(
        0.6, "share of the steps in which q moves from start to target", low=0, high=1
    )
    penalty: Literal["two_sided", "hinge"] = setting(
        "two_sided", "pull the size to q from both sides, or only from above"
    )
    init: Literal["constant", "magnitude", "taylor", "carried"] = setting(
        "constant",
        "how gates start: alike, by importance, or by what units carry when rotated",
    )
    init_open: float = setting(
        0.95, "mean openness of the gates at the start", low=0.05, high=0.99
    )
    init_samples: int = setting(
        256, "pairs that `init: taylor` or `carried` looks at, in whole batches", low=1
    )

    @property
    def trains_weights(self) -> bool:
        return self.train_weights

    @property
    def needs_rotation(self) -> bool:
        return self.init == "carried"
