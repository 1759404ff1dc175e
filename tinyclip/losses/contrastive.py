"""The contrastive objectives that CLIP and SigLIP themselves were trained with.

Legend: B batch, C columns, b rows of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.clip import Features
from .objectives import Parts, objectives
from .products import Products, both_ways, mean_over_rows, own_columns


def affinity_logits(features: Features) -> tuple[Tensor, Tensor]:
    """Scaled products, image to text and text to image, each (B, B)."""
    image_to_text_BB = features.scale * features.image_BE @ features.text_BE.T
    return image_to_text_BB, image_to_text_BB.T


def contrastive(features: Features) -> Tensor:
    """The loss that the model was trained with: InfoNCE in both directions, halved
    (Radford et al. 2021, figure 3); for a model with a logit bias the sigmoid loss,
    summed over the pairs of a picture (Zhai et al. 2023, algorithm 1)."""
    image, text = both_ways(features, biased=True)
    if features.bias is not None:
        return matched(image)
    return (matched(image) + matched(text)) / 2


def matched(products: Products) -> Tensor:
    """The mean loss of rows whose own column is the match: cross-entropy, or with a
    bias yes or no for each column."""
    return mean_over_rows(_own if products.bias is None else _yes_or_no, products)[0]


def _own(part: slice, logits_bC: Tensor) -> tuple[Tensor]:
    own_b = own_columns(part, logits_bC)
    return (F.cross_entropy(logits_bC, own_b, reduction="none"),)


def _yes_or_no(part: slice, logits_bC: Tensor) -> tuple[Tensor]:
    own_b1 = own_columns(part, logits_bC)[:, None]
    sign_bC = torch.full_like(logits_bC, -1.0).scatter(1, own_b1, 1.0)
    return (-F.logsigmoid(sign_bC * logits_bC).sum(-1),)


@objectives.register("contrastive")
def contrastive_objective(student: Features, _: Features) -> tuple[Tensor, Parts]:
    """The loss the student itself was trained with; the teacher is not asked."""
    return contrastive(student), {}
