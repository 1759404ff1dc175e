"""Contrast against a batch and against what every concept last looked like.

A batch of 64 concepts says little about telling 1,900 names apart. The memory holds the
last features of every training concept and caption as further negatives (cross-batch
memory, Wang et al. 2020, arXiv:1912.06798): they cost a product, not a forward pass.
"""

# B concepts of a batch, N training concepts, E joint embedding

import math
from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Captions:
    """Which caption fits which concept; equal captions have one number."""

    def __init__(self, data: dict[str, Tensor]) -> None:
        starts = data["caption_starts"]
        self.count = len(starts) - 1
        _, self.number = torch.unique(data["captions"], dim=0, return_inverse=True)
        self.owner = torch.repeat_interleave(
            torch.arange(self.count, device=starts.device), starts.diff()
        )

    def fits(self, rows_B: Tensor) -> Tensor:
        """Whether a caption is one of a concept's own, (B, N)."""
        caption, place = (self.number[rows_B, None] == self.number).nonzero().T
        fits_BN = torch.zeros(
            len(rows_B), self.count, dtype=torch.bool, device=rows_B.device
        )
        fits_BN[caption, self.owner[place]] = True
        return fits_BN


class Sides(NamedTuple):
    """Features of a batch, its concepts, and which concepts its captions fit."""

    views: Sequence[Tensor]
    texts_BE: Tensor
    concepts_B: Tensor
    fits_BN: Tensor


class Memory:
    """The last features of every concept; unknown ones count for nothing."""

    def __init__(self, captions: Captions, width: int) -> None:
        count, device = captions.count, captions.owner.device
        self.state = {
            "images": torch.zeros(count, width, device=device),
            "texts": torch.zeros(count, width, device=device),
            "fits": torch.zeros(count, count, dtype=torch.bool, device=device),
            "known": torch.zeros(count, dtype=torch.bool, device=device),
        }

    def remember(self, sides: Sides) -> None:
        """Put a batch's features in the place of older ones."""
        state, at = self.state, sides.concepts_B
        state["images"][at] = sides.views[0].detach()
        state["texts"][at] = sides.texts_BE.detach()
        state["fits"][at] = sides.fits_BN
        state["known"][at] = True


def tell_apart(
    asks_BE: Tensor,
    answers_BE: Tensor,
    more_NE: Tensor,
    hide_BB: Tensor,
    hide_BN: Tensor,
) -> Tensor:
    """InfoNCE one way; what would be right too, or is not there, is hidden."""
    right_B = torch.arange(len(asks_BE), device=asks_BE.device)
    hide_BB = hide_BB.clone().fill_diagonal_(False)
    scores = asks_BE @ torch.cat([answers_BE, more_NE]).T
    scores = scores.masked_fill(torch.cat([hide_BB, hide_BN], 1), -math.inf)
    return F.cross_entropy(scores, right_B)


def contrast(sides: Sides, scale: Tensor, memory: Memory, image_image: float) -> Tensor:
    """Image-text terms, one a view, and image-image terms, one a pair of views."""
    views, texts_BE, at, fits_BN = sides
    state = memory.state
    # Who is in the batch is met there, as he is now.
    gone_N = ~state["known"]
    gone_N[at] = True
    near_BB = fits_BN[:, at]
    from_text = near_BB, fits_BN | gone_N
    from_image = near_BB.T, state["fits"][:, at].T | gone_N
    alike = near_BB | near_BB.T, from_text[1]
    images_NE, texts_NE = state["images"], scale * state["texts"]
    terms = []
    for view in views:
        terms.append(tell_apart(view, scale * texts_BE, texts_NE, *from_image))
        terms.append(tell_apart(scale * texts_BE, view, images_NE, *from_text))
    total = torch.stack(terms).mean()
    if len(views) > 1 and image_image:
        pairs = []
        for one, other in permutations(views, 2):
            pairs.append(tell_apart(scale * one, other, images_NE, *alike))
        total = total + image_image * torch.stack(pairs).mean()
    return total
