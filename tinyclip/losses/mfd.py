"""Masked feature distillation: the teacher's features, from a part of the picture.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..config.setting import setting
from ..model.clip import Features
from .feature import apart
from .narrowed import narrowed
from .needs import Masked
from .objectives import Parts, objectives


@dataclass(frozen=True, kw_only=True)
class Mfd:
    """What can be asked of masked feature distillation."""

    masked: float = setting(
        0.75, "share of a picture's patches that are left out", low=0, below=1
    )


@objectives.register(
    "mfd", need=lambda options: Masked(share=options.masked), compares="embeddings"
)
def mfd(
    student: Features, teacher: Features, options: Mfd = Mfd()
) -> tuple[Tensor, Parts]:
    """`feature`, of pictures of which the student sees some patches only (mfd of
    CLIP-KD, Yang et al., CVPR 2024; 75 % are left out there).

    L = mean_i (|m_i − V_i|² + |s_i − S_i|²)

    m (B, E) are the student's features of the pictures with patches of the image
    tower's own size made 0, the mean colour, drawn anew for each picture and step; V
    are the teacher's of the whole picture. Costs a second pass of the image tower.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    kept = narrowed(teacher, student, "mfd")
    return apart(student.more["mfd.masked"], student.text_BE, kept)
