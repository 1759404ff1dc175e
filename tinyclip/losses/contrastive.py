"""The contrastive objectives that CLIP and SigLIP themselves were trained with.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.clip import Features
from .objectives import Parts, objectives


def affinity_logits(features: Features) -> tuple[Tensor, Tensor]:
    """Scaled products, image to text and text to image, each (B, B)."""
    image_to_text_BB = features.scale * features.image_BE @ features.text_BE.T
    return image_to_text_BB, image_to_text_BB.T


def sigmoid_logits(features: Features) -> Tensor:
    """Scaled products plus the bias, (B, B): one yes-or-no question a pair."""
    logits_BB = affinity_logits(features)[0]
    return logits_BB if features.bias is None else logits_BB + features.bias


def contrastive(features: Features) -> Tensor:
    """The loss that the model was trained with: InfoNCE in both directions, halved
    (Radford et al. 2021, figure 3); for a model with a logit bias the sigmoid loss,
    summed over the pairs of a picture (Zhai et al. 2023, algorithm 1)."""
    if features.bias is not None:
        return own(sigmoid_logits(features), is_sigmoid=True)
    image, text = (own(logits_BB) for logits_BB in affinity_logits(features))
    return (image + text) / 2


def own(logits_BB: Tensor, is_sigmoid: bool = False) -> Tensor:
    """The mean loss of rows whose own column is the match: cross-entropy, or yes or no
    for each column."""
    if is_sigmoid:
        sign_BB = 2 * torch.eye(len(logits_BB), device=logits_BB.device) - 1
        return -F.logsigmoid(sign_BB * logits_BB).sum(-1).mean()
    own_B = torch.arange(len(logits_BB), device=logits_BB.device)
    return F.cross_entropy(logits_BB, own_B)


@objectives.register("contrastive")
def contrastive_objective(student: Features, _: Features) -> tuple[Tensor, Parts]:
    """The loss the student itself was trained with; the teacher is not asked."""
    return contrastive(student), {}
