"""Retrieval: a picture's caption among all captions, and a caption's picture.

Legend: N pictures, M captions, E joint embedding.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..data.task import RetrievalTask
from .bootstrap import Sample
from .features import Encoder
from .measures import Outcome, clusters_of, measures, share_of
from .zero_shot import answered

RECALLS = (1, 5, 10)


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


def captions_of(task: RetrievalTask, whole: list[int]) -> tuple[list[str], Tensor]:
    """Every caption of these rows, and the place of its picture among them, (M,)."""
    texts: list[str] = []
    owners: list[int] = []
    for place, row in enumerate(whole):
        captions = task.pairs.captions(row)
        texts.extend(captions)
        owners.extend([place] * len(captions))
    return texts, torch.tensor(owners)


def caption_ranks(
    encoder: Encoder, task: RetrievalTask
) -> tuple[list[int], Tensor, Tensor, Tensor]:
    """The rows whose picture can be read, `retrieval_ranks` of them, and the owners of
    captions."""
    whole, images_NE = encoder.pictures(task.pairs)
    texts, owner_M = captions_of(task, whole)
    texts_ME = encoder.texts(texts)
    return whole, *retrieval_ranks(images_NE, texts_ME, owner_M), owner_M


def recalls(
    task: RetrievalTask,
    whole: list[int],
    rank_N: Tensor,
    rank_M: Tensor,
    owner_M: Tensor,
) -> dict[str, Sample]:
    """R@1, 5 and 10 both ways: the share of pictures (of captions) of which an own
    caption (the own picture) is among the nearest so many. Captions of one picture are
    drawn together."""
    cluster_N, clusters = clusters_of(task.clusters, whole)
    ways = {
        "image_to_text": (rank_N, cluster_N),
        "text_to_image": (rank_M, cluster_N[owner_M.numpy()]),
    }
    return {
        f"{way}_r{k}": share_of(rank < k, cluster, clusters)
        for way, (rank, cluster) in ways.items()
        for k in RECALLS
    }


@measures.register("retrieval")
def retrieval(encoder: Encoder, task: RetrievalTask) -> Outcome:
    """Recalls both ways; the value is picture to caption at 1."""
    whole, rank_N, rank_M, owner_M = caption_ranks(encoder, task)
    own_N = torch.bincount(owner_M, minlength=len(whole))
    images_NE = encoder.pictures(task.pairs)[1]
    texts_ME = encoder.texts(captions_of(task, whole)[0])
    answers = answered(encoder, images_NE, texts_ME)
    return Outcome(
        recalls(task, whole, rank_N, rank_M, owner_M),
        n=len(whole),
        chance=float((own_N / len(owner_M)).mean()),
        answers=replace(answers, owner_M=owner_M),
        counts={"captions": len(owner_M), "broken": len(task.pairs) - len(whole)},
    )
