"""Objectives: what the student is asked to do. One file each; one line here."""

from .affinity import affinity, soft_cross_entropy
from .contrastive import affinity_logits, contrastive
from .feature import feature
from .mimic import mimic
from .objectives import objectives, weighted
from .sigmoid import sigmoid

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
