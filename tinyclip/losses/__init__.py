"""Objectives: what the student is asked to do; and the pull towards a size.

One file each, which enters itself in the registry; one line here.
"""

from .afd import Afd
from .affinity import affinity, soft_cross_entropy
from .asl import Asl
from .bingo import bingo
from .contrastive import affinity_logits, contrastive
from .crd import crd
from .dist import dist
from .feature import feature
from .gd import gd
from .hsakd import Hsakd
from .ickd import ickd
from .icl import icl
from .intra import intra
from .kd import kd
from .layerwise import Layerwise
from .mfd import mfd
from .mfi import mfi
from .mimic import mimic
from .negclip import negclip
from .objectives import objectives, weighted
from .sigmoid import sigmoid
from .sparsity import Multipliers, penalty, ramp
from .tat import Tat

__all__ = [
    "Multipliers",
    "affinity",
    "affinity_logits",
    "bingo",
    "Afd",
    "Hsakd",
    "Layerwise",
    "Tat",
    "Asl",
    "contrastive",
    "crd",
    "dist",
    "feature",
    "gd",
    "ickd",
    "icl",
    "intra",
    "kd",
    "mfd",
    "mfi",
    "mimic",
    "negclip",
    "objectives",
    "penalty",
    "ramp",
    "sigmoid",
    "soft_cross_entropy",
    "weighted",
]
