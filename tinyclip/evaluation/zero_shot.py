"""Zero-shot classification: the class whose text is nearest to the picture.

Legend: N pictures, C classes, K templates, E joint embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.tasks import ZeroShotTask
from .features import Encoder
from .interval import wilson

ROWS = 1024  # pictures whose similarities are held at once


def class_features(features_KCE: Tensor) -> Tensor:
    """Normalised mean over templates of normalised features (Radford et al. 2021,
    §3.1.4), (C, E)."""
    return F.normalize(features_KCE.mean(dim=0), dim=-1)


def ranks(images_NE: Tensor, classes_CE: Tensor, labels_N: Tensor) -> Tensor:
    """How many wrong classes are at least as near as the right one, (N,).

    Ties count against the model, and so does a similarity that is not a number: a
    model that gives all classes the same feature names none of them right.
    """
    parts = []
    for start in range(0, len(images_NE), ROWS):
        similar_NC = images_NE[start : start + ROWS] @ classes_CE.T
        right_N1 = similar_NC.gather(1, labels_N[start : start + ROWS, None])
        # the right class is always counted by "not less", hence the one taken off
        parts.append((~(similar_NC < right_N1)).sum(dim=1) - 1)
    return torch.cat(parts)


def class_ranks(encoder: Encoder, task: ZeroShotTask) -> tuple[list[int], Tensor]:
    """The rows whose picture can be read, and `ranks` of each, (N,)."""
    whole, images_NE = encoder.pictures(task.pairs)
    by_template = [
        encoder.texts([template.format(name) for name in task.classes])
        for template in task.templates
    ]
    classes_CE = class_features(torch.stack(by_template))
    labels_N = torch.tensor([task.labels[i] for i in whole])
    return whole, ranks(images_NE, classes_CE, labels_N)


def zero_shot(encoder: Encoder, task: ZeroShotTask) -> dict[str, Any]:
    """Top-1 and top-5 of a task; `ci95` is Wilson's."""
    whole, rank_N = class_ranks(encoder, task)
    n, hits = len(whole), int((rank_N < 1).sum())
    return {
        "metric": "top1",
        "value": hits / n,
        "ci95": list(wilson(hits, n)),
        "n": n,
        "also": {
            "top5": int((rank_N < 5).sum()) / n,
            "classes": len(task.classes),
            "broken": len(task.pairs) - n,
        },
    }
