"""The settings of the rotate phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..setting import setting
from .phase import PhaseSettings


@dataclass(frozen=True, kw_only=True)
class Rotate(PhaseSettings):
    """The rotate phase: streams and heads in their principal bases, exactly."""

    rotates: ClassVar[bool] = True

    samples: int = setting(1024, "pairs that tell the directions", low=64)
    variance: float = setting(
        0.05,
        "share of their order that is variance alone; 1: principal directions",
        low=0,
        high=1,
    )

    @property
    def seen(self) -> int:
        return self.samples
