"""Objectives: what the student is asked to do; and the pull towards a size.

One file each, which enters itself in the registry; one line here.
"""

from .affinity import affinity, soft_cross_entropy
from .contrastive import affinity_logits, contrastive
from .feature import feature
from .mimic import mimic
from .objectives import objectives, weighted
from .sigmoid import sigmoid
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
