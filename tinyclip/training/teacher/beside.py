"""Who teaches beside the teacher: others of another make, and earlier students.

Legend: B batch, E a student's joint embedding, F the run's teacher's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.batch import Batch
from ...data.loader import Loader
from ...data.seeds import number
from ...model.clip import Features
from .live import Teacher

PARTS = 2**32  # of chance


@dataclass(frozen=True)
class Beside:
    """Teachers of every step, and assistants that chance leaves out of some.

    Args:
        always: of every step.
        assistants: students of earlier stages, each left out of a step by itself (Son
            et al., ICCV 2021, "Densely Guided Knowledge Distillation using Multiple
            Teacher Assistants").
        dropped: the chance that one is.
        seed: of that; a step's draw depends on nothing else.
    """

    always: tuple[Teacher, ...] = ()
    assistants: tuple[Teacher, ...] = ()
    dropped: float = 0.0
    seed: int = 0

    def at(self, step: int) -> tuple[Teacher, ...]:
        """Those of a step: the same in every process and for every piece."""
        return *self.always, *(
            one for place, one in enumerate(self.assistants) if self._stays(step, place)
        )

    def _stays(self, step: int, place: int) -> bool:
        drawn = number(self.seed, "assistant", step, place) % PARTS
        return drawn >= self.dropped * PARTS


class Widened:
    """An earlier student, its features as wide as the run's teacher's.

    Channels that it lost are 0: its products and its lengths are what they were, and
    whoever compares embeddings finds each channel in its place.

    Args:
        channels: of the teacher's embedding, which it has.
        width: of the teacher's embedding.
    """

    def __init__(self, teacher: Teacher, channels: tuple[int, ...], width: int) -> None:
        self.teacher, self.channels, self.width = teacher, channels, width

    def features(self, batch: Batch) -> Features:
        """As `Teacher.features`, (B, F)."""
        found = self.teacher.features(batch)
        return found.with_rows({n: self._wide(r) for n, r in found.rows().items()})

    def _wide(self, rows_BE: Tensor) -> Tensor:
        rows_BF = rows_BE.new_zeros(len(rows_BE), self.width)
        places_E = torch.tensor(self.channels, device=rows_BE.device)
        return rows_BF.index_copy(1, places_E, rows_BE)


class OwnView:
    """A teacher of another make: it sees the same samples in pixels and ids of its own.

    Args:
        loader: of the same pairs, with the teacher's transform and tokenizer.
    """

    def __init__(self, teacher: Teacher, loader: Loader) -> None:
        self.teacher, self.loader = teacher, loader

    def features(self, batch: Batch) -> Features:
        """As `Teacher.features`."""
        return self.teacher.features(self.loader.like(batch))
