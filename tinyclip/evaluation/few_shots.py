"""What the few-shot tasks share: who is right after a few pictures were seen.

Features are frozen; something small is learnt on top of them from the shots of a draw,
once for each number of shots, by the cross-entropy of similarities with class texts at
the model's own scale.

Legend: N pictures to name, M shots, C classes, E joint embedding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.classes import listed
from ..data.seeds import number
from ..data.task import FewShotTask
from ..errors import UserError
from .answers import Answers
from .features import Encoder
from .measures import Outcome, clusters_of, share_of
from .zero_shot import answered, named_features, ranks

BATCH = 256  # shots a step sees, at most


@dataclass(frozen=True)
class Shots:
    """What is learnt from.

    Args:
        images_ME: normalised features of the pictures.
        labels_M: their classes.
        classes_CE: normalised features of the classes without any shot.
        scale: what similarities are multiplied with.
        seed: of all that is drawn.
    """

    images_ME: Tensor
    labels_M: Tensor
    classes_CE: Tensor
    scale: float
    seed: int

    def random(self) -> torch.Generator:
        """Its own source of randomness, always the same."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Adapted:
    """What was learnt: new features of pictures, and of the classes (C, E)."""

    images: Callable[[Tensor], Tensor]
    classes_CE: Tensor


Learn = Callable[[Shots], Adapted]


def scale_of(encoder: Encoder, where: str) -> float:
    """The scale that a model was trained at.

    Raises:
        UserError: it does not say; `where` asked for it.
    """
    if encoder.scale is None:
        raise UserError(
            where,
            "learns at the model's own logit scale, and the model does not say it",
            "Leave the task out, or name the model that was exported",
        )
    return encoder.scale


def cross_entropy(
    images_ME: Tensor, classes_CE: Tensor, labels_M: Tensor, scale: float
) -> Tensor:
    """Mean −log softmax(scale · f·W)_label over pictures."""
    return F.cross_entropy(scale * images_ME @ classes_CE.T, labels_M)


def descend(
    parameters: Sequence[Tensor],
    loss: Callable[[Tensor], Tensor],
    shots: Shots,
    steps: int,
    rate: float,
) -> None:
    """Learn parameters by Adam (Kingma and Ba 2015) whose rate falls along a cosine.

    Args:
        loss: of some rows of the shots.
        steps: each sees at most `BATCH` shots; all are seen before one is again.
        rate: of the first step.
    """
    optimiser = torch.optim.Adam(parameters, lr=rate)
    random, order = shots.random(), torch.zeros(0, dtype=torch.long)
    size = min(BATCH, len(shots.labels_M))
    for step in range(steps):
        if len(order) < size:
            order = torch.randperm(len(shots.labels_M), generator=random)
        rows, order = order[:size], order[size:]
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
        with torch.enable_grad():
            slopes = torch.autograd.grad(loss(rows), parameters)
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = slope
        optimiser.step()


def few_shots(encoder: Encoder, task: FewShotTask, learn: Learn) -> Outcome:
    """Top-1 with each number of shots, the most first, each a mean over draws, and
    zero-shot on the same pictures; ties count against the model.

    What was answered is told of the first draw of the most shots.

    Raises:
        UserError: the model does not say its scale, or of a class too few pictures can
            be read.
    """
    draws = _shots(encoder, task)
    whole, images_NE = encoder.pictures(task.pairs)
    labels_N = torch.tensor([task.labels[row] for row in whole])
    found = {count: [learn(shots) for shots in draws[count]] for count in task.shots}
    right = {
        _figure(count): torch.stack(
            [_right(images_NE, adapted, labels_N) for adapted in found[count]]
        ).double()
        for count in (task.shots[-1], *task.shots[:-1])
    }
    classes_CE = draws[task.shots[0]][0].classes_CE
    right["zero_shot"] = (ranks(images_NE, classes_CE, labels_N) < 1).double()[None]
    items = clusters_of(task.clusters, whole)
    return Outcome(
        {name: share_of(each.mean(dim=0), *items) for name, each in right.items()},
        n=len(whole),
        chance=1 / len(task.classes),
        answers=_answers(encoder, images_NE, found[task.shots[-1]][0]),
        counts={
            "classes": len(task.classes),
            "left_out": task.left_out,
            "draws": len(task.draws),
            "broken": len(task.pairs) - len(whole),
        },
    )


def _figure(count: int) -> str:
    return f"top1_{count}_shots"


def _right(images_NE: Tensor, adapted: Adapted, labels_N: Tensor) -> Tensor:
    with torch.no_grad():
        return ranks(adapted.images(images_NE), adapted.classes_CE, labels_N) < 1


def _answers(encoder: Encoder, images_NE: Tensor, adapted: Adapted) -> Answers:
    with torch.no_grad():
        return answered(encoder, adapted.images(images_NE), adapted.classes_CE)


def _shots(encoder: Encoder, task: FewShotTask) -> dict[int, list[Shots]]:
    """What is learnt from in each draw, by the number of shots."""
    scale = scale_of(encoder, task.name)
    whole, images_ME = encoder.pictures(task.train)
    classes_CE = named_features(encoder, task.classes, task.templates)
    places = {row: place for place, row in enumerate(whole)}
    found: dict[int, list[Shots]] = {count: [] for count in task.shots}
    for draw, rows in enumerate(task.draws):
        readable = [row for row in rows if row in places]
        for count in task.shots:
            shown = _first(task, readable, count)
            labels_M = torch.tensor([task.train_labels[row] for row in shown])
            seen_ME = images_ME[[places[row] for row in shown]]
            seed = number(draw, "learn", count)
            found[count].append(Shots(seen_ME, labels_M, classes_CE, scale, seed))
    return found


def _first(task: FewShotTask, rows: Sequence[int], count: int) -> list[int]:
    """The first so many rows of each class."""
    times: Counter[int] = Counter()
    first = []
    for row in rows:
        label = task.train_labels[row]
        times[label] += 1
        if times[label] <= count:
            first.append(row)
    short = [name for i, name in enumerate(task.classes) if times[i] < count]
    if short:
        raise UserError(
            task.name,
            f"of {len(short)} classes fewer than {count} pictures to learn from can be "
            f"read: {listed(short)}",
            "Mend the pictures, or leave these classes out",
        )
    return first
