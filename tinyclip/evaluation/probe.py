"""What the two probes share: features of the pictures to learn from and of those to
name, and who is right.

Legend: N pictures to name, M to learn from, C classes, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..data.task import ProbeTask
from ..errors import UserError
from .answers import Answers
from .features import Encoder
from .measures import Outcome, clusters_of, share_of

# (M, E) features and (M,) labels to learn from, (N, E) features to name: (N, C) scores
Scores = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def probed(encoder: Encoder, task: ProbeTask, score: Scores) -> Outcome:
    """Top-1 and top-5; ties count against the model.

    Raises:
        UserError: of a class there is no picture to learn from that can be read.
    """
    learnt, train_ME = encoder.pictures(task.train)
    labels_M = torch.tensor([task.train_labels[row] for row in learnt])
    missing = set(task.labels) - set(labels_M.tolist())
    if missing:
        names = ", ".join(repr(task.classes[i]) for i in sorted(missing)[:3])
        raise UserError(
            task.name,
            f"no picture to learn from can be read of {len(missing)} classes: {names}",
            "Mend the pictures, or leave these classes out",
        )
    whole, images_NE = encoder.pictures(task.pairs)
    scores_NC = score(train_ME, labels_M, images_NE, len(task.classes))
    labels_N = torch.tensor([task.labels[row] for row in whole])
    right_N1 = scores_NC.gather(1, labels_N[:, None])
    rank_N = (~(scores_NC < right_N1)).sum(dim=1) - 1
    items = clusters_of(task.clusters, whole)
    return Outcome(
        {"top1": share_of(rank_N < 1, *items), "top5": share_of(rank_N < 5, *items)},
        n=len(whole),
        chance=1 / len(task.classes),
        answers=Answers(images_NE, scores_NC.argmax(dim=1)),
        counts={
            "classes": len(task.classes),
            "learnt_from": len(task.train),
            "broken": len(task.pairs) - len(whole),
        },
    )
