"""Sigmoid mimicking: each pair's match, as a teacher with a logit bias has it.

Legend: B batch.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ..model.clip import Features
from ..shapes import ClipShape
from .contrastive import sigmoid_logits
from .objectives import Parts, misfits, objectives


@objectives.register("sigmoid")
def sigmoid(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Each pair's match as the teacher's sigmoid has it: binary cross-entropy with
    soft labels, summed over the pairs of a picture as SigLIP's own loss is.

    Logged beside it: `sigmoid_kl`, 0 for the teacher itself.
    """
    mine_BB, theirs_BB = sigmoid_logits(student), sigmoid_logits(teacher)
    label_BB = theirs_BB.sigmoid()
    cross = _binary(mine_BB, label_BB)
    return cross, {"sigmoid_kl": (cross - _binary(theirs_BB, label_BB)).detach()}


@misfits.register("sigmoid")
def _without_bias(teacher: ClipShape) -> str:
    """Scaled products of a CLIP are all large: without a bias every pair matches."""
    return "" if teacher.logit_bias else "the teacher has no logit bias"


def _binary(logits_BB: Tensor, label_BB: Tensor) -> Tensor:
    each_BB = F.binary_cross_entropy_with_logits(logits_BB, label_BB, reduction="none")
    return each_BB.sum(-1).mean()
