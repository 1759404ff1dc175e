"""The settings of the allocate phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..setting import setting
from .phase import PhaseSettings

CURVES = 6  # students that tell what a site's loss is worth: two shares of a site


@dataclass(frozen=True, kw_only=True)
class Allocate(PhaseSettings):
    """The allocate phase: the size shared among sites and towers by what each loses."""

    chooses: ClassVar[bool] = True
    nests: ClassVar[bool] = True

    samples: int = setting(
        256, "captions that each student is solved on, and pictures at most", low=64
    )
    judged: int = setting(
        64, "validation pairs, at most, on which students are compared", low=32
    )
    tries: int = setting(
        2, "students of the size that are compared, beyond the first", low=0
    )

    @property
    def needs_rotation(self) -> bool:
        return True

    @property
    def seen(self) -> int:
        return self.samples * (2 + CURVES + self.tries)
