"""k nearest neighbours: a picture is what the pictures near it are.

Legend: N pictures to name, M to learn from, C classes, K neighbours, E joint embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.task import ProbeTask
from .features import Encoder
from .measures import Outcome, measures
from .probe import probed

NEIGHBOURS = 20
TEMPERATURE = 0.07
ROWS = 1024  # pictures whose similarities are held at once


def neighbour_scores(
    train_ME: Tensor, labels_M: Tensor, images_NE: Tensor, classes: int
) -> Tensor:
    """The weight of each class among the `NEIGHBOURS` nearest pictures, each of which
    weighs exp(cosine / `TEMPERATURE`), (N, C) (Wu et al. 2018, §3.4; the number is that
    of Caron et al. 2021)."""
    count = min(NEIGHBOURS, len(train_ME))
    parts = []
    for start in range(0, len(images_NE), ROWS):
        similar_NM = images_NE[start : start + ROWS] @ train_ME.T
        near_NK, place_NK = similar_NM.topk(count, dim=1)
        # less the nearest, which scales all classes alike and keeps what is far apart
        weight_NK = ((near_NK - near_NK[:, :1]) / TEMPERATURE).exp()
        scores_NC = torch.zeros(len(near_NK), classes)
        parts.append(scores_NC.scatter_add_(1, labels_M[place_NK], weight_NK))
    return torch.cat(parts)


@measures.register("knn")
def knn(encoder: Encoder, task: ProbeTask) -> Outcome:
    """Top-1 and top-5 of the weighted vote."""
    return probed(encoder, task, neighbour_scores)
