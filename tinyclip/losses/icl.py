"""Interactive contrastive learning: the student's anchors among the teacher's."""

from __future__ import annotations

from torch import Tensor

from ..model.clip import Features
from .contrastive import matched
from .narrowed import narrowed
from .objectives import Parts, objectives
from .products import Products


@objectives.register("icl", compares="embeddings")
def icl(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """The student's pictures find their captions among the teacher's, its captions
    their pictures (icl of CLIP-KD, Yang et al., CVPR 2024; its weight there is
    1).

    L = ½ mean_i CE(i, a v_i·S) + ½ mean_i CE(i, a s_i·V)

    Rows (B, B) with the student's scale a. A student with a logit bias asks yes or no
    for each pair, as its own loss does.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    kept = narrowed(teacher, student, "icl")
    beside = student.scale, student.bias
    image = matched(Products(student.image_BE, kept.text_BE, *beside))
    text = matched(Products(student.text_BE, kept.image_BE, *beside))
    return (image + text) / 2, {"image": image.detach(), "text": text.detach()}
