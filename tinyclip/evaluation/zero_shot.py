"""Zero-shot classification: the class whose text is nearest to the picture.

Legend: N pictures, C classes, K templates, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.task import ZeroShotTask
from .answers import Answers
from .features import Encoder
from .measures import Outcome, clusters_of, measures, share_of

ROWS = 1024  # pictures whose similarities are held at once


def class_features(features_KCE: Tensor) -> Tensor:
    """Normalised mean over templates of normalised features (Radford et al. 2021,
    §3.1.4), (C, E)."""
    return F.normalize(features_KCE.mean(dim=0), dim=-1)


def named_features(
    encoder: Encoder, classes: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """`class_features` of names in sentences, (C, E)."""
    by_template = [
        encoder.texts([template.format(name) for name in classes])
        for template in templates
    ]
    return class_features(torch.stack(by_template))


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


def nearest(images_NE: Tensor, texts_CE: Tensor) -> Tensor:
    """The text that is nearest to each picture, (N,)."""
    parts = images_NE.split(ROWS)
    return torch.cat([(part @ texts_CE.T).argmax(dim=1) for part in parts])


def answered(encoder: Encoder, images_NE: Tensor, texts_CE: Tensor) -> Answers:
    """What a model says of pictures by these texts."""
    chosen_N = nearest(images_NE, texts_CE)
    return Answers(images_NE, chosen_N, texts_CE, encoder.scale)


def class_ranks(encoder: Encoder, task: ZeroShotTask) -> tuple[list[int], Tensor]:
    """The rows whose picture can be read, and `ranks` of each, (N,)."""
    whole, images_NE = encoder.pictures(task.pairs)
    classes_CE = named_features(encoder, task.classes, task.templates)
    labels_N = torch.tensor([task.labels[i] for i in whole])
    return whole, ranks(images_NE, classes_CE, labels_N)


@measures.register("zero_shot")
def zero_shot(encoder: Encoder, task: ZeroShotTask) -> Outcome:
    """Top-1 and top-5 of a task."""
    whole, rank_N = class_ranks(encoder, task)
    _, images_NE = encoder.pictures(task.pairs)
    classes_CE = named_features(encoder, task.classes, task.templates)
    items = clusters_of(task.clusters, whole)
    return Outcome(
        {"top1": share_of(rank_N < 1, *items), "top5": share_of(rank_N < 5, *items)},
        n=len(whole),
        chance=1 / len(task.classes),
        answers=answered(encoder, images_NE, classes_CE),
        counts={"classes": len(task.classes), "broken": len(task.pairs) - len(whole)},
    )
