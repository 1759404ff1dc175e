"""The default objective: the teacher's own kind of similarity, mimicked."""

from __future__ import annotations

from torch import Tensor

from ..model.clip import Features
from .affinity import affinity
from .objectives import Parts, objectives
from .sigmoid import sigmoid


@objectives.register("mimic", compares="distributions")
def mimic(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """The teacher's own kind of similarity, mimicked: `affinity` for a teacher that
    was trained with a softmax, `sigmoid` for one with a logit bias (SigLIP).

    Logged beside it: `mimic_kl`.
    """
    kind = affinity if teacher.bias is None else sigmoid
    loss, parts = kind(student, teacher)
    return loss, {"mimic_kl": next(iter(parts.values()))}
