"""Contrastive relational distillation: who resembles whom in a batch."""

from __future__ import annotations

from torch import Tensor

from ..model.clip import Features
from .affinity import divergence
from .objectives import Parts, objectives
from .products import compared, regained


@objectives.register("crd", compares="distributions")
def crd(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """The divergence of the batch's similarities from the teacher's, both directions
    summed (crd of CLIP-KD, Yang et al., CVPR 2024; its weight there is 1).

    L = mean_i KL(P_i ‖ p_i) + mean_j KL(Q_j ‖ q_j)

    p and P (B, B) are the softmax of scaled products over the captions of a picture,
    q and Q over the pictures of a caption; each model has its own scale. 0 for the
    teacher itself. Its gradient is twice that of `affinity`.
    """
    both = zip(compared(teacher), compared(student), strict=True)
    image, text = (regained(student, divergence(*pair)) for pair in both)
    return image + text, {"image": image.detach(), "text": text.detach()}
