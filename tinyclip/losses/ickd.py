"""Inter-channel correlation: which channels of the embedding go together.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

from torch import Tensor

from ..model.clip import Features
from .narrowed import narrowed
from .objectives import Parts, objectives


@objectives.register("ickd", each_modality=True, compares="embeddings")
def ickd(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Squared distance of the channels' correlation matrices over the batch, image and
    text summed (ICKD, Liu et al., ICCV 2021).

    L = |C − C'|²_F, C = Σ_i v_i v_iᵀ / B, (E, E); the text's alike

    Rows are normalised, so that the trace is 1 and the value has neither width nor
    batch in it. It looks at each modality alone.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    kept = narrowed(teacher, student, "ickd")
    image = _distance(student.image_BE, kept.image_BE)
    text = _distance(student.text_BE, kept.text_BE)
    return image + text, {"image": image.detach(), "text": text.detach()}


def _distance(mine_BE: Tensor, theirs_BE: Tensor) -> Tensor:
    mine_EE, theirs_EE = (rows.T @ rows / len(rows) for rows in (mine_BE, theirs_BE))
    return (mine_EE - theirs_EE).square().sum()
