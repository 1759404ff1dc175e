"""Sigmoid mimicking: each pair's match, as a teacher with a logit bias has it.

Legend: C columns, b rows of a block.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ..model.clip import Features
from ..shapes import ClipShape
from .misfits import misfits
from .objectives import Parts, objectives
from .products import compared, mean_over_rows, regained_cross


@objectives.register("sigmoid", compares="distributions")
def sigmoid(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Each pair's match as the teacher's sigmoid has it: binary cross-entropy with
    soft labels, summed over the pairs of a picture as SigLIP's own loss is.

    Logged beside it: `sigmoid_kl`, 0 for the teacher itself.
    """
    mine, theirs = (compared(side, biased=True)[0] for side in (student, teacher))
    cross, entropy = mean_over_rows(_binary, mine, theirs)
    loss = regained_cross(student, cross, entropy)
    return loss, {"sigmoid_kl": (cross - entropy).detach()}


@misfits.register("sigmoid")
def _without_bias(teacher: ClipShape) -> str:
    """Scaled products of a CLIP are all large: without a bias every pair matches."""
    return "" if teacher.logit_bias else "the teacher has no logit bias"


def _binary(_: slice, mine_bC: Tensor, theirs_bC: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row: the cross-entropy, and the teacher's entropy."""
    label_bC = theirs_bC.sigmoid()
    cross_b, entropy_b = (
        F.binary_cross_entropy_with_logits(logits, label_bC, reduction="none").sum(-1)
        for logits in (mine_bC, theirs_bC)
    )
    return cross_b, entropy_b
