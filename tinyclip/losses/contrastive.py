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
        logits_BB = sigmoid_logits(features)
        sign_BB = 2 * torch.eye(len(logits_BB), device=logits_BB.device) - 1
        return -F.logsigmoid(sign_BB * logits_BB).sum(-1).mean()
    own_B = torch.arange(len(features.image_BE), device=features.image_BE.device)
    losses = [F.cross_entropy(logits, own_B) for logits in affinity_logits(features)]
    return (losses[0] + losses[1]) / 2


@objectives.register("contrastive")
def contrastive_objective(student: Features, _: Features) -> tuple[Tensor, Parts]:
    """The loss the student itself was trained with; the teacher is not asked."""
    return contrastive(student), {}
