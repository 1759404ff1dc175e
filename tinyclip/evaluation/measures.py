"""The registry of tasks: a kind's name to what measures it.

A new kind is a class in `data/task.py`, a file here that enters its function, and its
import in `suite.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..registry import Registry
from .answers import Answers
from .bootstrap import Mean, Sample, intervals
from .features import Encoder


@dataclass(frozen=True)
class Outcome:
    """What a task found of one model.

    Args:
        samples: the figures with their items; the first is the task's own.
        n: items of that figure.
        chance: its value for a model that guesses.
        answers: what the model said.
        counts: what else is told: classes, captions, broken pictures.
        floor: what retention counts from: 0, or chance where guessing has much already.
    """

    samples: Mapping[str, Sample]
    n: int
    chance: float
    answers: Answers
    counts: Mapping[str, float] = field(default_factory=dict)
    floor: float = 0.0

    @property
    def metric(self) -> str:
        return next(iter(self.samples))

    @property
    def sample(self) -> Sample:
        return self.samples[self.metric]

    @property
    def value(self) -> float:
        return self.sample.value

    @property
    def others(self) -> dict[str, float]:
        """The values of the further figures."""
        further = list(self.samples.items())[1:]
        return {name: sample.value for name, sample in further}

    def told(self) -> dict[str, Any]:
        """As a report has it."""
        sure = dict(zip(self.samples, intervals([*self.samples.values()]), strict=True))
        return {
            "metric": self.metric,
            "value": self.value,
            "ci95": list(sure[self.metric]),
            "n": self.n,
            "clusters": self.sample.clusters,
            "chance": self.chance,
            "floor": self.floor,
            "also": {**self.others, **self.counts},
            "intervals": {name: list(sure[name]) for name in self.others},
        }


Measure = Callable[[Encoder, Any], Outcome]
measures: Registry[Measure] = Registry("kind of task")


def clusters_of(
    given: tuple[int, ...] | None, whole: list[int]
) -> tuple[NDArray[np.int64], int]:
    """The cluster of each whole row, numbered from 0, and how many there are.

    Args:
        given: of all rows; None: each row is a cluster.
    """
    if given is None:
        return np.arange(len(whole)), len(whole)
    names, numbers = np.unique([given[row] for row in whole], return_inverse=True)
    return numbers.astype(np.int64), len(names)


def share_of(hits_N: Tensor, cluster_N: NDArray[np.int64], clusters: int) -> Mean:
    """The share of hits, and its items."""
    return Mean(hits_N.double().numpy(), cluster_N, clusters)
