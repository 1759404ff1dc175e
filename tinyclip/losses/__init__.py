"""Objectives: what the student is asked to do; and the pull towards a size."""

from .contrastive import affinity_logits, contrastive
from .distill import (
    affinity,
    feature,
    mimic,
    objectives,
    sigmoid,
    soft_cross_entropy,
    weighted,
)
from .sparsity import Multipliers, penalty, ramp

__all__ = [
    "Multipliers",
    "affinity",
    "affinity_logits",
    "contrastive",
    "feature",
    "mimic",
    "objectives",
    "penalty",
    "ramp",
    "sigmoid",
    "soft_cross_entropy",
    "weighted",
]
