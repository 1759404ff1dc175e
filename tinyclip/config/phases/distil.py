"""The settings of the distil phase."""

from __future__ import annotations

from dataclasses import dataclass

from .phase import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Distil(TrainingSettings):
    """The distil phase: the student learns from the teacher."""
