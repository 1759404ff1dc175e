"""Affinity mimicking: the similarities of a batch, as the teacher has them.

Legend: B batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..config.setting import setting
from ..model.clip import Features
from .contrastive import affinity_logits
from .objectives import Parts, objectives


@dataclass(frozen=True, kw_only=True)
class Affinity:
    """What can be asked of affinity mimicking."""

    direction: Literal["both", "image", "text"] = setting(
        "both",
        "whose rows are compared: each picture's over the captions, each caption's "
        "over the pictures, or the mean of both",
    )


def soft_cross_entropy(student_BB: Tensor, teacher_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy from the teacher's rows to the student's, and the KL divergence.

    The KL is the cross-entropy less the teacher's entropy: 0 means "the same as the
    teacher", which the cross-entropy alone never shows.
    """
    target_BB = teacher_BB.log_softmax(-1)
    weight_BB = target_BB.exp()
    cross = -(weight_BB * student_BB.log_softmax(-1)).sum(-1).mean()
    entropy = -(weight_BB * target_BB).sum(-1).mean()
    return cross, (cross - entropy).detach()


def divergence(wanted_BB: Tensor, given_BB: Tensor) -> Tensor:
    """KL of the softmax of rows, Σ p (log p − log q), the mean over rows.

    Args:
        wanted_BB: logits of p, whose mass says where the two are compared.
        given_BB: logits of q.
    """
    log_p_BB, log_q_BB = wanted_BB.log_softmax(-1), given_BB.log_softmax(-1)
    return (log_p_BB.exp() * (log_p_BB - log_q_BB)).sum(-1).mean()


@objectives.register("affinity")
def affinity(
    student: Features, teacher: Features, options: Affinity = Affinity()
) -> tuple[Tensor, Parts]:
    """Affinity mimicking: mean of both directions (Wu et al., ICCV 2023, eq. 2 to 4).

    Each model has its own scale. Logged beside it: `affinity_kl`.
    """
    pairs = zip(affinity_logits(student), affinity_logits(teacher), strict=True)
    image, text = (soft_cross_entropy(mine, theirs) for mine, theirs in pairs)
    if options.direction != "both":
        loss, divergence = image if options.direction == "image" else text
        return loss, {"affinity_kl": divergence}
    return (image[0] + text[0]) / 2, {"affinity_kl": (image[1] + text[1]) / 2}
