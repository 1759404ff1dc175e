"""Gradient distillation: the pull on every embedding, as the teacher feels it.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model.clip import Features
from .contrastive import affinity_logits, sigmoid_logits
from .narrowed import narrowed
from .objectives import Parts, objectives


@objectives.register("gd")
def gd(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Squared distance of the gradients of both models' own losses by their embeddings
    (gd of CLIP-KD, Yang et al., CVPR 2024).

    L = mean_i (|∂ℓ/∂v_i − ∂ℓ'/∂V_i|² + |∂ℓ/∂s_i − ∂ℓ'/∂S_i|²)

    ℓ is B times the contrastive loss of the student, ℓ' of the teacher, so that
    neither the batch nor the width is in the value; the published weight of 10⁸ is on
    a mean over both of gradients that hold 1/B. In closed form: a M S and a Mᵀ V, with
    M the softmax of rows and of columns, halved, less the identity.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    theirs = _pulls(narrowed(teacher, student, "gd"))
    image, text = (
        (mine_BE - wanted_BE).square().sum(-1).mean()
        for mine_BE, wanted_BE in zip(_pulls(student), theirs, strict=True)
    )
    return image + text, {"image": image.detach(), "text": text.detach()}


def _pulls(features: Features) -> tuple[Tensor, Tensor]:
    """The gradients by image and text features, (B, E) each."""
    if features.bias is None:
        rows_BB, columns_BB = affinity_logits(features)
        chosen_BB = (rows_BB.softmax(-1) + columns_BB.softmax(-1).T) / 2
    else:
        chosen_BB = sigmoid_logits(features).sigmoid()
    wrong_BB = chosen_BB - torch.eye(len(chosen_BB)).to(chosen_BB)
    scaled_BB = features.scale * wrong_BB
    return scaled_BB @ features.text_BE, scaled_BB.T @ features.image_BE
