"""One linear map of text features, learnt on swapped captions (LABCLIP).

Koishigarina, Uselis and Oh 2025, "CLIP behaves like a bag-of-words model cross-modally
but not uni-modally" (arXiv 2502.03566): what belongs to what is in the features of
either tower, and cosines between the two do not show it. A map of the text features
does, and both towers stay as they are.

Legend: N pictures, K captions, B pictures of a batch, M swapped captions, E joint
embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.seeds import number, order
from ..evaluation.retrieval import retrieval_ranks
from ..losses.negclip import against_swaps

BATCH = 512  # pictures
RATE = 0.2  # of Adam, divided by E: what one step adds has a norm that knows no width
PULL = 0.001  # towards the identity, of the squared Frobenius norm
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Frozen:
    """Features of pairs, which no step changes; all of length one.

    Args:
        image_NE: of the pictures.
        text_KE, swapped_KE: of captions, and of their swapped forms.
        owner_K: the picture of each caption; those of one stand together.
        caption_K: a number of each caption, equal where the words are.
        there_K: whether it has a swapped form.
    """

    image_NE: Tensor
    text_KE: Tensor
    swapped_KE: Tensor
    owner_K: Tensor
    caption_K: Tensor
    there_K: Tensor


@dataclass(frozen=True)
class Scale:
    """What a model's similarities are multiplied with, and what is added to them."""

    scale: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True)
class Strength:
    """How far along the way from the identity to a map a candidate stands, and what
    captions it was chosen on say of it.

    Args:
        right: share of captions nearer to their picture than their swapped form.
        recall: R@1 of pictures and captions, the mean of both ways.
    """

    strength: float
    right: float
    recall: float


def mapped(text_KE: Tensor, map_EE: Tensor) -> Tensor:
    """Features times a map, of length one."""
    return F.normalize(text_KE @ map_EE, dim=-1)


def repair_loss(
    map_EE: Tensor,
    image_BE: Tensor,
    text_BE: Tensor,
    swapped_ME: Tensor,
    caption_B: Tensor,
    scale: Scale,
) -> Tensor:
    """`losses.negclip.against_swaps` of pictures and mapped captions, and the pull to
    the identity: L + PULL ‖W − I‖²."""
    loss, _ = against_swaps(
        image_BE,
        mapped(text_BE, map_EE),
        mapped(swapped_ME, map_EE),
        caption_B,
        scale.scale,
        scale.bias,
    )
    identity_EE = torch.eye(len(map_EE), dtype=map_EE.dtype)
    return loss + PULL * (map_EE - identity_EE).square().sum()


def fit(frozen: Frozen, scale: Scale, steps: int, seed: int) -> Tensor:
    """The map after so many steps of Adam from the identity, (E, E), at a rate that
    falls to 0 as a cosine.

    A batch has a picture once, with one caption. What is drawn follows from the seed.
    """
    width = frozen.image_NE.shape[1]
    map_EE = torch.eye(width, requires_grad=True)
    optimiser = torch.optim.Adam([map_EE], lr=RATE / width)
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: (1 + math.cos(math.pi * step / steps)) / 2
    )
    of_picture = _captions_of(frozen)
    for step in range(steps):
        rows = _batch(len(of_picture), step, seed)
        chosen = [
            own[number(seed, "text", step, row) % len(own)]
            for row in rows
            if (own := of_picture[row])
        ]
        loss = repair_loss(map_EE, *_taken(frozen, torch.tensor(chosen)), scale)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return map_EE.detach()


def _captions_of(frozen: Frozen) -> list[list[int]]:
    """The captions of each picture."""
    own: list[list[int]] = [[] for _ in range(len(frozen.image_NE))]
    for caption, picture in enumerate(frozen.owner_K.tolist()):
        own[picture].append(caption)
    return own


def _batch(count: int, step: int, seed: int) -> list[int]:
    """The pictures of a step: an epoch is cut into whole batches."""
    size = min(BATCH, count)
    epoch, place = divmod(step, count // size)
    rows: list[int] = order(seed, epoch, count)[place * size :][:size].tolist()
    return rows


def _taken(frozen: Frozen, caption_B: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the loss takes of some captions."""
    return (
        frozen.image_NE[frozen.owner_K[caption_B]],
        frozen.text_KE[caption_B],
        frozen.swapped_KE[caption_B][frozen.there_K[caption_B]],
        frozen.caption_K[caption_B],
    )


def at_strength(map_EE: Tensor, strength: float) -> Tensor:
    """I + s (W − I): the way from the model as it was to the repaired one (Wortsman et
    al. 2022, "Robust fine-tuning of zero-shot models", §3)."""
    identity_EE = torch.eye(len(map_EE), dtype=map_EE.dtype)
    return identity_EE + strength * (map_EE - identity_EE)


def weighed(frozen: Frozen, map_EE: Tensor) -> list[Strength]:
    """Every strength, on pairs that the map was not learnt from."""
    own_KE = frozen.image_NE[frozen.owner_K]
    found = []
    for strength in STRENGTHS:
        here_EE = at_strength(map_EE, strength)
        text_KE = mapped(frozen.text_KE, here_EE)
        true_K = (own_KE * text_KE).sum(-1)
        false_K = (own_KE * mapped(frozen.swapped_KE, here_EE)).sum(-1)
        right = (true_K > false_K)[frozen.there_K].double().mean()
        ways = retrieval_ranks(frozen.image_NE, text_KE, frozen.owner_K)
        recall = sum(float((rank < 1).double().mean()) for rank in ways) / len(ways)
        found.append(Strength(strength, float(right), recall))
    return found


def best(weighed: list[Strength]) -> Strength:
    """The strength with most captions right among those that find no fewer pictures and
    captions than the model as it was, which comes first; of equal ones the smallest."""
    allowed = [each for each in weighed if each.recall >= weighed[0].recall]
    return max(allowed, key=lambda each: (each.right, -each.strength))
