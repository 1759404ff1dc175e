"""Retrieval: a picture's caption among all captions, and a caption's picture.

Legend: N pictures, M captions, E joint embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..data.tasks import RetrievalTask
from .features import Encoder
from .interval import wilson


def retrieval_ranks(
    images_NE: Tensor, texts_ME: Tensor, owner_M: Tensor
) -> tuple[Tensor, Tensor]:
    """Ranks from 0 of the best own caption (N,) and of the own picture (M,).

    A rank is the number of others that are at least as near: ties, and similarities
    that are not numbers, count against the model.

    Args:
        owner_M: the picture of each caption.
    """
    similar_NM = images_NE @ texts_ME.T
    own_NM = owner_M[None, :] == torch.arange(len(images_NE))[:, None]
    best_N1 = similar_NM.masked_fill(~own_NM, -torch.inf).amax(dim=1, keepdim=True)
    image_to_text_N = (~(similar_NM < best_N1) & ~own_NM).sum(dim=1)
    own_M = similar_NM.gather(0, owner_M[None, :])
    text_to_image_M = (~(similar_NM < own_M)).sum(dim=0) - 1
    return image_to_text_N, text_to_image_M


def caption_ranks(
    encoder: Encoder, task: RetrievalTask
) -> tuple[list[int], Tensor, Tensor]:
    """The rows whose picture can be read, and `retrieval_ranks` of them."""
    whole, images_NE = encoder.pictures(task.pairs)
    texts: list[str] = []
    owners: list[int] = []
    for place, row in enumerate(whole):
        captions = task.pairs.captions(row)
        texts.extend(captions)
        owners.extend([place] * len(captions))
    texts_ME, owner_M = encoder.texts(texts), torch.tensor(owners)
    return whole, *retrieval_ranks(images_NE, texts_ME, owner_M)


def retrieval(encoder: Encoder, task: RetrievalTask) -> dict[str, Any]:
    """R@1 and R@5 in both directions; the value is picture to caption at 1."""
    whole, rank_N, rank_M = caption_ranks(encoder, task)
    n, hits = len(whole), int((rank_N < 1).sum())
    return {
        "metric": "image_to_text_r1",
        "value": hits / n,
        "ci95": list(wilson(hits, n)),
        "n": n,
        "also": {
            "image_to_text_r5": int((rank_N < 5).sum()) / n,
            "text_to_image_r1": int((rank_M < 1).sum()) / len(rank_M),
            "text_to_image_r5": int((rank_M < 5).sum()) / len(rank_M),
            "captions": len(rank_M),
            "broken": len(task.pairs) - n,
        },
    }
