"""Choices: a picture's true text among false ones that were made of it.

Legend: I items, A answers of an item, M answers of all items, N pictures, T distinct
texts, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isclose

import numpy as np
import torch
from torch import Tensor

from ..data.task import ChoiceTask
from ..data.views import Subset
from ..errors import UserError
from .answers import Answers
from .bootstrap import Sample
from .features import Encoder
from .measures import Outcome, clusters_of, measures, share_of

ROWS = 16_384  # answers whose features are held at once


@dataclass(frozen=True)
class _Asked:
    """The items whose picture can be read.

    Args:
        items: which of the task's.
        row_I: the row of the task's pairs of each.
        image_I: the place of each one's picture in `images_NE`.
        images_NE: features of the pictures that can be read.
        broken: pictures of items that cannot.
    """

    items: list[int]
    row_I: list[int]
    image_I: Tensor
    images_NE: Tensor
    broken: int


def similarities(
    images_NE: Tensor, texts_TE: Tensor, image_M: Tensor, text_M: Tensor
) -> Tensor:
    """The cosine of each answer with its item's picture, in float64, (M,).

    Args:
        image_M, text_M: the picture and the text of each answer.
    """
    parts = [
        (images_NE[image].double() * texts_TE[text].double()).sum(dim=1)
        for image, text in zip(image_M.split(ROWS), text_M.split(ROWS), strict=True)
    ]
    return torch.cat(parts)


def chosen(similar_IA: Tensor) -> Tensor:
    """The answer that is nearest to each picture, 0 the true one, (I,).

    Ties, and similarities that are not numbers, count against the model.

    Args:
        similar_IA: the true answer first; −∞ where an item has no more answers.
    """
    false_IA = similar_IA[:, 1:]
    right_I = (false_IA < similar_IA[:, :1]).all(dim=1)
    return torch.where(right_I, 0, 1 + false_IA.argmax(dim=1))


def _asked(encoder: Encoder, task: ChoiceTask) -> _Asked:
    """Pictures that no item asks for are neither looked at nor counted."""
    rows = sorted(set(task.rows))
    whole, images_NE = encoder.pictures(Subset(task.pairs, rows))
    places = {rows[i]: place for place, i in enumerate(whole)}
    items = [item for item, row in enumerate(task.rows) if row in places]
    row_I = [task.rows[item] for item in items]
    image_I = torch.tensor([places[row] for row in row_I])
    return _Asked(items, row_I, image_I, images_NE, len(rows) - len(whole))


def _similar(
    encoder: Encoder, task: ChoiceTask, asked: _Asked
) -> tuple[Tensor, Tensor]:
    """Similarities by item, (I, A), and the features of all texts, (T, E)."""
    answers = [task.texts[item] for item in asked.items]
    numbers = {text: i for i, text in enumerate(dict.fromkeys(chain(*answers)))}
    texts_TE = encoder.texts([*numbers])
    count_I = torch.tensor([len(own) for own in answers])
    there_IA = torch.arange(int(count_I.max())) < count_I[:, None]
    text_M = torch.tensor([numbers[text] for own in answers for text in own])
    image_M = asked.image_I.repeat_interleave(count_I)
    similar_IA = torch.full(there_IA.shape, -torch.inf, dtype=torch.float64)
    similar_IA[there_IA] = similarities(asked.images_NE, texts_TE, image_M, text_M)
    return similar_IA, texts_TE


@measures.register("choice")
def choice(encoder: Encoder, task: ChoiceTask) -> Outcome:
    """`right`: the share of items whose true text is nearer than every false one; then
    `right_PART` of each part. Controls are in their own parts alone.

    A model that guesses has the mean of 1 / answers, and retention counts from there.

    Raises:
        UserError: no picture can be read that is asked for more than a control.
    """
    asked = _asked(encoder, task)
    similar_IA, texts_TE = _similar(encoder, task, asked)
    chosen_I = chosen(similar_IA)
    rows = range(len(task.pairs)) if task.clusters is None else task.clusters
    names = tuple(rows[row] for row in asked.row_I)
    cluster_I, clusters = clusters_of(names, [*range(len(names))])
    parts = _parts(task, asked)
    right_I = chosen_I == 0
    main = _main(task, asked)
    share = share_of(right_I[main], cluster_I[main], clusters)
    samples: dict[str, Sample] = {"right": share}
    for part, own in parts.items():
        of_part = share_of(right_I[own], cluster_I[own], clusters)
        samples[f"right_{part}"] = of_part
    chance = _chance(task, [asked.items[place] for place in main])
    return Outcome(
        samples,
        n=len(main),
        chance=chance,
        answers=Answers(asked.images_NE, chosen_I, texts_TE),
        counts=_counts(task, asked, parts, chance),
        floor=chance,
    )


def _main(task: ChoiceTask, asked: _Asked) -> list[int]:
    """The places of the items that are in the task's own figure."""
    items = enumerate(asked.items)
    main = [place for place, item in items if task.parts[item] not in task.controls]
    if not main:
        what = "no picture can be read of any part but the controls"
        raise UserError(task.pairs.name, what, "Mend the pictures")
    return main


def _parts(task: ChoiceTask, asked: _Asked) -> dict[str, list[int]]:
    """The places of each part's items among those asked, where parts have names."""
    places: dict[str, list[int]] = {part: [] for part in task.parts if part}
    for place, item in enumerate(asked.items):
        if task.parts[item]:
            places[task.parts[item]].append(place)
    return {part: own for part, own in places.items() if own}


def _chance(task: ChoiceTask, items: Sequence[int]) -> float:
    return float(np.mean([1 / len(task.texts[item]) for item in items]))


def _counts(
    task: ChoiceTask, asked: _Asked, parts: Mapping[str, list[int]], chance: float
) -> dict[str, float]:
    """Items by part, and a part's chance where it is another one than the task's; what
    was left out, and what is broken."""
    guessed = {
        part: _chance(task, [asked.items[place] for place in own])
        for part, own in parts.items()
    }
    return {
        **{f"items_{part}": len(own) for part, own in parts.items()},
        **{
            f"chance_{part}": of
            for part, of in guessed.items()
            if not isclose(of, chance)
        },
        **{f"left_out_{part}": n for part, n in task.left_out.items() if n},
        "broken": asked.broken,
    }
