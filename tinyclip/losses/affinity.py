"""Affinity mimicking: the similarities of a batch, as the teacher has them.

Legend: B batch, C columns, b rows of a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..config.setting import setting
from ..model.clip import Features
from .objectives import Parts, objectives
from .products import Products, compared, mean_over_rows, regained_cross


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
    cross_B, entropy_B = _cross_entropies(slice(None), student_BB, teacher_BB)
    cross = cross_B.mean()
    return cross, (cross - entropy_B.mean()).detach()


def _cross_entropies(
    _: slice, student_bC: Tensor, teacher_bC: Tensor
) -> tuple[Tensor, Tensor]:
    """Of each row: the cross-entropy, and the teacher's entropy."""
    target_bC = teacher_bC.log_softmax(-1)
    weight_bC = target_bC.exp()
    cross_b = -(weight_bC * student_bC.log_softmax(-1)).sum(-1)
    return cross_b, -(weight_bC * target_bC).sum(-1)


def divergence(wanted: Products, given: Products, temperature: float = 1.0) -> Tensor:
    """KL of the softmax of rows, Σ p (log p − log q), the mean over rows.

    Args:
        wanted: logits of p, whose mass says where the two are compared.
        given: logits of q.
        temperature: that both are divided by.
    """

    def of(_: slice, wanted_bC: Tensor, given_bC: Tensor) -> tuple[Tensor]:
        return (divergences(wanted_bC / temperature, given_bC / temperature),)

    return mean_over_rows(of, wanted, given)[0]


def divergences(wanted_bC: Tensor, given_bC: Tensor) -> Tensor:
    """KL of the softmax of each row, (b,)."""
    log_p_bC, log_q_bC = wanted_bC.log_softmax(-1), given_bC.log_softmax(-1)
    return (log_p_bC.exp() * (log_p_bC - log_q_bC)).sum(-1)


@objectives.register("affinity", compares="distributions")
def affinity(
    student: Features, teacher: Features, options: Affinity = Affinity()
) -> tuple[Tensor, Parts]:
    """Affinity mimicking: mean of both directions (Wu et al., ICCV 2023, eq. 2 to 4).

    Each model has its own scale. Logged beside it: `affinity_kl`.
    """
    pairs = zip(compared(student), compared(teacher), strict=True)
    image, text = (_mimicked(student, mine, theirs) for mine, theirs in pairs)
    if options.direction != "both":
        loss, kl = image if options.direction == "image" else text
        return loss, {"affinity_kl": kl}
    return (image[0] + text[0]) / 2, {"affinity_kl": (image[1] + text[1]) / 2}


def _mimicked(
    student: Features, mine: Products, theirs: Products
) -> tuple[Tensor, Tensor]:
    cross, entropy = mean_over_rows(_cross_entropies, mine, theirs)
    return regained_cross(student, cross, entropy), (cross - entropy).detach()
