"""The settings of the score phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..setting import setting
from .phase import PhaseSettings


@dataclass(frozen=True, kw_only=True)
class Score(PhaseSettings):
    """The score phase: importance instead of learned gates (Torch-Pruning's)."""

    chooses: ClassVar[bool] = True

    importance: Literal["magnitude", "taylor", "hessian"] = setting(
        "taylor", "what units are ranked by; magnitude needs no data"
    )
    samples: int = setting(
        512, "pairs that taylor and hessian look at, in whole batches", low=1
    )

    @property
    def batched(self) -> bool:
        return self.importance != "magnitude"
