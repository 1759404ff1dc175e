"""Relations within each modality, where the modality gap hides.

Legend: B batch, O = B − 1 others, b rows of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model.clip import Features
from .affinity import divergences
from .objectives import Parts, objectives
from .products import Products, mean_over_rows, own_columns, regained, softened


@objectives.register("intra", each_modality=True, compares="distributions")
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
    scales = softened(teacher).scale, softened(student).scale
    image, text = (
        regained(
            student,
            mean_over_rows(
                _among_others,
                Products(theirs, theirs, scales[0]),
                Products(mine, mine, scales[1], weight_B=student.weight_B),
            )[0],
        )
        for mine, theirs in (
            (student.image_BE, teacher.image_BE),
            (student.text_BE, teacher.text_BE),
        )
    )
    return (image + text) / 2, {"image": image.detach(), "text": text.detach()}


def _among_others(part: slice, wanted_bB: Tensor, given_bB: Tensor) -> tuple[Tensor]:
    """The divergence of each row without its own column."""
    is_other_bB = torch.ones_like(wanted_bB, dtype=torch.bool)
    is_other_bB.scatter_(1, own_columns(part, wanted_bB)[:, None], False)
    wanted_bO, given_bO = (
        rows[is_other_bB].view(len(rows), -1) for rows in (wanted_bB, given_bB)
    )
    return (divergences(wanted_bO, given_bO),)
