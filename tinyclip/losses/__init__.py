"""Objectives: what the student is asked to do."""

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

__all__ = [
    "affinity",
    "affinity_logits",
    "contrastive",
    "feature",
    "mimic",
    "objectives",
    "sigmoid",
    "soft_cross_entropy",
    "weighted",
]
