"""Augmented feature distillation: both models' embeddings, fused and contrasted.

Legend: B batch, E joint embedding, F the teacher's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..model.clip import Features
from .contrastive import contrastive
from .objectives import Parts, objectives


@objectives.register("afd", compares="embeddings")
class Afd(nn.Module):
    """The contrastive loss of embeddings of both models, fused (afd of CLIP-KD, Yang et
    al., CVPR 2024).

    L = InfoNCE(z, y), z_i = norm(W [v_i; V_i]), y_i = norm(U [s_i; S_i])

    W and U (E, E + F) are learned beside the student and end with their phase; the
    scale is the student's.

    Args:
        student, teacher: widths of the joint embeddings.
    """

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.image = nn.Linear(student + teacher, student, bias=False)
        self.text = nn.Linear(student + teacher, student, bias=False)

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Parts]:
        image_BE = self._fused(self.image, student.image_BE, teacher.image_BE)
        text_BE = self._fused(self.text, student.text_BE, teacher.text_BE)
        fused = Features(image_BE, text_BE, student.scale, student.bias)
        return contrastive(fused), {}

    @staticmethod
    def _fused(fusion: nn.Linear, mine_BE: Tensor, theirs_BF: Tensor) -> Tensor:
        return F.normalize(fusion(torch.cat([mine_BE, theirs_BF], dim=-1)), dim=-1)
