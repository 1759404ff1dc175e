"""Hierarchical self-supervised distillation: how a picture was turned, as a part of its
label.

Legend: B batch, R rotations, E joint embedding, C = B·R captions under rotations, b
rows of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.setting import setting
from ..model.clip import Features
from .affinity import divergences
from .needs import Rotated
from .objectives import Parts, objectives
from .products import Products, mean_over_rows, own_columns

ROTATIONS = 4
NOISE = (
    0.1  # of the heads at their start, beside the identity: of an embedding's length
)


@dataclass(frozen=True, kw_only=True)
class HsakdOptions:
    """What can be asked of self-supervised distillation."""

    labels: float = setting(
        1.0,
        "weight of the labels themselves beside what the teacher says of them, for the "
        "student; the paper's student has 0",
        low=0,
    )


class Heads(nn.Module):
    """One embedding of a caption for each rotation of its picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        noise = torch.randn(ROTATIONS, width, width) * NOISE * width**-0.5
        self.weight = nn.Parameter(torch.eye(width) + noise)

    def forward(self, text_BE: Tensor) -> Tensor:
        """Normalised, (C, E): each caption under all rotations, then the next."""
        turned_BRE = torch.einsum("ref,bf->bre", self.weight, text_BE)
        return F.normalize(turned_BRE, dim=-1).flatten(0, 1)


@objectives.register("hsakd", need=lambda _: Rotated())
class Hsakd(nn.Module):
    """Pictures in four rotations find their caption and their rotation at once, as the
    teacher finds them (Yang et al., IJCAI 2021, "Hierarchical Self-supervised Augmented
    Knowledge Distillation", eq. 3 to 8).

    L = mean_k (−log P_kk − λ log p_kk + KL(P_k ‖ p_k))

    k runs over the 4B pairs of a picture and a rotation, by 0, 90, 180 and 270 degrees;
    p (4B, 4B) is the softmax of a v_k·norm(W_r s_j) over captions j and rotations r, P
    is the teacher's with heads and a scale of its own, held fixed in the divergence.
    The heads W (4, E, E) of both models start as the identity with a little noise, are
    learned, and end with their phase. The teacher's learn from its features, which stay
    as they are, the student's from labels and teacher. The paper has class labels and
    heads after each stage of the network; here captions are the labels, and there is
    one embedding. Logged beside it: `hsakd_kl`, the divergence alone.
    Costs three more passes of both image towers.

    Args:
        student, teacher: widths of the joint embeddings.
    """

    def __init__(
        self, student: int, teacher: int, options: HsakdOptions = HsakdOptions()
    ) -> None:
        super().__init__()
        self.student, self.teacher = Heads(student), Heads(teacher)
        self.labels = options.labels

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Parts]:
        theirs = _products(teacher, self.teacher)
        mine = _products(student, self.student)
        learned, own, kl = mean_over_rows(_of_rows, theirs, mine)
        loss = learned + self.labels * own + kl
        logged = {"hsakd_kl": kl, "labels": own, "teacher": learned}
        return loss, {name: part.detach() for name, part in logged.items()}


def _products(features: Features, heads: Heads) -> Products:
    """Of pictures in their rotations with captions under theirs, (C, C)."""
    rotated_BRE = features.more["hsakd.rotated"]
    pictures_BRE = torch.cat([features.image_BE[:, None], rotated_BRE], dim=1)
    columns_CE = heads(features.text_BE)
    return Products(pictures_BRE.flatten(0, 1), columns_CE, features.scale)


def _of_rows(
    part: slice, wanted_bC: Tensor, given_bC: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row: the teacher's and the student's cross-entropy, and the divergence of
    the student from the teacher."""
    own_b = own_columns(part, given_bC)
    learned_b, told_b = (
        F.cross_entropy(logits_bC, own_b, reduction="none")
        for logits_bC in (wanted_bC, given_bC)
    )
    return learned_b, told_b, divergences(wanted_bC.detach(), given_bC)
