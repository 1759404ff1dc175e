"""The settings of the allocate phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...sites import LAYERS, USUAL
from ..setting import setting
from .phase import PhaseSettings

SHARES = (0.6, 0.3)  # of a site's units that are left where it is cut alone


@dataclass(frozen=True, kw_only=True)
class Allocate(PhaseSettings):
    """The allocate phase: the size shared among sites and towers by what each loses."""

    chooses: ClassVar[bool] = True
    unfit_sites: ClassVar[tuple[str, ...]] = LAYERS  # a curve of one or two points
    nests: ClassVar[bool] = True

    samples: int = setting(
        512, "captions that each student is solved on, and pictures at most", low=64
    )
    judged: int = setting(
        512, "validation pairs, at most, on which students are compared", low=32
    )
    tries: int = setting(
        6, "students of the size that are compared, beyond the first", low=0
    )

    @property
    def needs_rotation(self) -> bool:
        return True

    @property
    def seen(self) -> int:
        # two passes that rank; a student for each share of a site; those of the size
        return self.samples * (2 + len(SHARES) * len(USUAL) + self.tries)
