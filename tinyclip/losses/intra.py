"""Relations within each modality, where the modality gap hides.

Legend: B batch, O = B − 1 others.
"""

from __future__ import annotations

from torch import Tensor

from ..model.clip import Features
from .affinity import divergence
from .objectives import Parts, objectives


@objectives.register("intra")
def intra(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """The divergence of picture-to-picture and caption-to-caption similarities from the
    teacher's (Park et al., CVPR 2019, "Relational Knowledge Distillation", with the
    softmax of `crd`; the remedy for the modality gap, Mistretta et al., ICLR 2025,
    "Cross the Gap").

    L = ½ mean_i KL(P_i ‖ p_i) + ½ mean_i KL(Q_i ‖ q_i)

    p (B, B − 1) is the softmax of a v_i·v_j over j ≠ i, q of a s_i·s_j, P and Q are the
    teacher's with its own scale. What picture goes with which caption is not looked at.
    0 for the teacher itself.
    """
    image, text = (
        divergence(_others(theirs, teacher.scale), _others(mine, student.scale))
        for mine, theirs in (
            (student.image_BE, teacher.image_BE),
            (student.text_BE, teacher.text_BE),
        )
    )
    return (image + text) / 2, {"image": image.detach(), "text": text.detach()}


def _others(rows_BE: Tensor, scale: Tensor) -> Tensor:
    """Scaled products of each row with all others, (B, O)."""
    products_BB = scale * rows_BE @ rows_BE.T
    size = len(products_BB)
    # without its first number, rows of B + 1 have the diagonal at their end
    beyond = products_BB.flatten()[1:].view(size - 1, size + 1)
    return beyond[:, :-1].reshape(size, size - 1)
