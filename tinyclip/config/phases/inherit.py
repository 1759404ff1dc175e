"""The settings of inheritance, which has none of its own yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .phase import PhaseSettings


@dataclass(frozen=True, kw_only=True)
class Inherit(PhaseSettings):
    """Inheritance: the survivors are sliced out, exactly."""

    cuts: ClassVar[bool] = True
