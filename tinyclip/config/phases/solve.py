"""The settings of the solve phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..setting import setting
from .phase import PhaseSettings


@dataclass(frozen=True, kw_only=True)
class Solve(PhaseSettings):
    """The solve phase: what a cut leaves, solved anew in closed form."""

    solves: ClassVar[bool] = True

    samples: int = setting(1024, "pairs that it is solved on", low=64)
    ridge: float = setting(
        1e-4, "added to what units tell of each other, of their mean square", low=0
    )

    readers: float | None = setting(
        1e-2, "the same for what reads the stream; null: as the cut leaves it", above=0
    )
    projection: float | None = setting(
        1e-1, "the same for the projection in the end; null: likewise", above=0
    )

    @property
    def seen(self) -> int:
        return 2 * self.samples
