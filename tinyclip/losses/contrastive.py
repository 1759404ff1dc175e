"""The contrastive objective that CLIP itself was trained with.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.clip import Features


def affinity_logits(features: Features) -> tuple[Tensor, Tensor]:
    """Scaled products, image to text and text to image, each (B, B)."""
    image_to_text_BB = features.scale * features.image_BE @ features.text_BE.T
    return image_to_text_BB, image_to_text_BB.T


def contrastive(features: Features) -> Tensor:
    """InfoNCE in both directions, halved (Radford et al. 2021, figure 3)."""
    own_B = torch.arange(len(features.image_BE), device=features.image_BE.device)
    both = [F.cross_entropy(logits, own_B) for logits in affinity_logits(features)]
    return (both[0] + both[1]) / 2
