"""Real answers of a teacher and its student, side by side.

Legend: N pictures, C answers, E joint embedding.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.seeds import number
from ..data.tasks import RetrievalTask, Task, ZeroShotTask
from ..data.views import Subset
from ..evaluation.features import Encoder
from ..evaluation.suite import Measurable
from ..evaluation.zero_shot import class_features

LOOKED = 512  # pictures of a task, chosen by hash of their keys
SHOWN = 6  # of each kind
SIDE = 144  # pixels
BATCH = 64


@dataclass(frozen=True)
class Answered:
    """One picture.

    Args:
        picture: as a page holds it, a data URI.
        right: what is right.
        teacher, student: what each answers.
    """

    picture: str
    right: str
    teacher: str
    student: str


@dataclass(frozen=True)
class Kind:
    """Pictures on which the two do alike.

    Args:
        count: how many of those that were looked at.
    """

    title: str
    count: int
    shown: tuple[Answered, ...]


@dataclass(frozen=True)
class Gallery:
    """A task's pictures, by who is right."""

    task: str
    looked: int
    kinds: tuple[Kind, ...]


def gallery(task: Task, teacher: Measurable, student: Measurable) -> Gallery:
    """Who is right on which pictures of a task, some of each kind to be seen.

    Raises:
        UserError: no picture can be read.
    """
    pairs = Subset(task.pairs, _some(task))
    asked = _Asked.of(task, pairs)
    encoders = [
        Encoder(one.model, one.preprocess, one.tokenizer, BATCH)
        for one in (teacher, student)
    ]
    whole, _ = encoders[0].pictures(pairs)
    answers = [asked.answers(encoder) for encoder in encoders]
    is_right = [
        [asked.is_right(row, answer) for row, answer in zip(whole, given, strict=True)]
        for given in answers
    ]

    def kind(title: str, first: bool | None, second: bool | None) -> Kind:
        wanted = [
            place
            for place in range(len(whole))
            if first in (None, is_right[0][place])
            and second in (None, is_right[1][place])
        ]
        shown = tuple(
            Answered(
                _thumbnail(pairs.image(whole[place])),
                asked.right(whole[place]),
                asked.texts[answers[0][place]],
                asked.texts[answers[1][place]],
            )
            for place in wanted[:SHOWN]
        )
        return Kind(title, len(wanted), shown)

    kinds = (
        kind("Both are right", True, True),
        kind("Only the teacher is right", True, False),
        kind("Only the student is right", False, True),
        kind("Neither is right", False, False),
    )
    return Gallery(task.name, len(whole), kinds)


def _some(task: Task) -> list[int]:
    """Rows by the hash of their keys: the same for every model and run."""
    keys = [number("gallery", task.pairs.key(i)) for i in range(len(task.pairs))]
    return [int(i) for i in np.argsort(keys, kind="stable")[:LOOKED]]


def has_answers(task: Task | None) -> bool:
    """Whether a task's answers are words that can be shown beside a picture."""
    return isinstance(task, ZeroShotTask | RetrievalTask)


@dataclass(frozen=True)
class _Asked:
    """What can be answered, and what is right.

    Args:
        texts: the answers: names of classes, or captions.
        templates: sentences that a name is put into.
        own: of each row, the places of right answers.
    """

    pairs: Subset
    texts: tuple[str, ...]
    templates: tuple[str, ...]
    own: tuple[frozenset[int], ...]

    @classmethod
    def of(cls, task: Task, pairs: Subset) -> _Asked:
        if isinstance(task, ZeroShotTask):
            own = [frozenset([task.labels[pairs.row(i)]]) for i in range(len(pairs))]
            return cls(pairs, task.classes, task.templates, tuple(own))
        assert isinstance(task, RetrievalTask)
        captions = [pairs.captions(i) for i in range(len(pairs))]
        texts = tuple(dict.fromkeys(text for row in captions for text in row))
        places = {text: place for place, text in enumerate(texts)}
        own = [frozenset(places[text] for text in row) for row in captions]
        return cls(pairs, texts, ("{}",), tuple(own))

    def answers(self, encoder: Encoder) -> list[int]:
        """The place of each whole picture's nearest answer."""
        _, images_NE = encoder.pictures(self.pairs)
        nearest_N = (images_NE @ self._features(encoder).T).argmax(dim=1)
        return [int(place) for place in nearest_N]

    def _features(self, encoder: Encoder) -> Tensor:
        """The answers' features, (C, E)."""
        sentences = [
            [template.replace("{}", text) for text in self.texts]
            for template in self.templates
        ]
        return class_features(torch.stack([encoder.texts(one) for one in sentences]))

    def is_right(self, row: int, answer: int) -> bool:
        return answer in self.own[row]

    def right(self, row: int) -> str:
        return _or([self.texts[place] for place in sorted(self.own[row])])


def _or(texts: Sequence[str]) -> str:
    return " / ".join(texts)


def _thumbnail(image: Image.Image) -> str:
    """A small JPEG as a data URI."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
