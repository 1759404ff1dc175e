"""What a student is measured on: each test item by itself, so that methods compare in
pairs.

Legend: N items of a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyclip.config.schema import Data, Recipe
from tinyclip.data.pairs import open_split
from tinyclip.data.protocol import Pairs
from tinyclip.data.tasks import RetrievalTask, Task, ZeroShotTask, tasks_of
from tinyclip.data.views import View, source_of
from tinyclip.evaluation.features import Encoder
from tinyclip.evaluation.interval import wilson
from tinyclip.evaluation.retrieval import caption_ranks
from tinyclip.evaluation.suite import Measurable
from tinyclip.evaluation.zero_shot import class_ranks

Hits = NDArray[np.bool_]
UNSHOWN = (
    "designer_unshown"  # of the held-out designer, what the data has no picture of
)
LEAST = 30  # items that make a task
BATCH = 256


@dataclass(frozen=True)
class Measured:
    """The tests, and what each choice of data leaves unshown.

    Args:
        base: whose data is tested; what is left out of training is tested all the same.
    """

    base: Recipe

    @cached_property
    def tasks(self) -> list[Task]:
        return tasks_of(replace(self.base.data, exclude=()), names=self.base.tasks)

    def hits(self, encoder: Encoder) -> dict[str, Hits]:
        """Whether each item is answered right, by task."""
        return {task.name: _hits(encoder, task) for task in self.tasks}

    def concepts(self) -> dict[str, NDArray[np.int64]]:
        """What each item shows, as a number: drawings of one concept fall together."""
        return {task.name: _concepts(task.pairs) for task in self.tasks}

    def unshown(self, data: Data) -> Hits | None:
        """Of the designer's items, those whose name no picture to train on has; None
        where there are few of them."""
        task = {task.name: task for task in self.tasks}.get("designer")
        names = _names(open_split(data)[0])
        if not isinstance(task, ZeroShotTask) or names is None:
            return None
        shown = np.array([task.classes[label] in names for label in task.labels])
        return ~shown if (~shown).sum() >= LEAST else None


def encoder_of(model: Measurable) -> Encoder:
    """What all measures of a model share."""
    return Encoder(model.model, model.preprocess, model.tokenizer, BATCH)


def _hits(encoder: Encoder, task: Task) -> Hits:
    """Raises `ValueError`: a picture is broken, and items would not be pairs."""
    if isinstance(task, RetrievalTask):
        whole, rank_N, *_ = caption_ranks(encoder, task)
    else:
        whole, rank_N = class_ranks(encoder, task)
    if len(whole) != len(task.pairs):
        raise ValueError(f"{task.name}: {len(task.pairs) - len(whole)} broken pictures")
    hits: Hits = (rank_N < 1).numpy()
    return hits


def _concepts(pairs: Pairs) -> NDArray[np.int64]:
    """By the last part of the key, as the embedded set names its drawings."""
    words = [pairs.key(i).rpartition("/")[2] for i in range(len(pairs))]
    return np.unique(words, return_inverse=True)[1]


def _names(pairs: Pairs) -> set[str] | None:
    """What the pictures show; None of a source that does not say."""
    values = getattr(source_of(pairs), "values", None)
    if values is None:
        return None
    rows = list(range(len(pairs)))
    while isinstance(pairs, View):
        rows, pairs = [pairs.row(i) for i in rows], pairs.pairs
    names = values("name")
    return {names[i] for i in rows}


def with_unshown(hits: Mapping[str, Hits], unshown: Hits | None) -> dict[str, Hits]:
    """The tasks, and what of the designer the data does not show."""
    more = {} if unshown is None else {UNSHOWN: hits["designer"][unshown]}
    return {**hits, **more}


def figures(
    hits: Mapping[str, Hits], teacher: Mapping[str, Hits]
) -> dict[str, dict[str, Any]]:
    """Value, 95 % interval, number of items and retention of each task."""
    results = {}
    for task, hits_N in hits.items():
        n, value = len(hits_N), float(hits_N.mean())
        whole = float(teacher[task].mean())
        results[task] = {
            "value": value,
            "ci95": list(wilson(int(hits_N.sum()), n)),
            "n": n,
            "teacher": whole,
            "retention": value / whole if whole else None,
        }
    return results


def packed(hits: Mapping[str, Hits]) -> dict[str, str]:
    """As JSON holds it: a character an item."""
    return {task: "".join("01"[int(hit)] for hit in h) for task, h in hits.items()}


def unpacked(texts: Mapping[str, str]) -> dict[str, Hits]:
    """What `packed` was given."""
    return {task: np.array([c == "1" for c in text]) for task, text in texts.items()}
