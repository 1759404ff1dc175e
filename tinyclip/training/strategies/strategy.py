"""What all strategies have in common.

Legend: B pairs of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ...data.batch import Batch, Batches
from ...data.loader import Loader
from ...losses.objectives import Parts
from ...model.clip import Features
from ...registry import Registry
from ..optim import Trainable


@dataclass(frozen=True)
class Options:
    """What can be asked of a strategy; each kind has fields of its own."""

    def wrong(self) -> str:
        """What no setting can know alone to be wrong, or nothing."""
        return ""


@dataclass(frozen=True)
class Course:
    """What a strategy knows of the phase that it belongs to.

    Args:
        steps: of the phase.
        loader: of the pairs that it trains on.
        width: of the student's embedding.
        world: processes.
    """

    steps: int
    loader: Loader | None = None
    width: int = 0
    world: int = 1


class Strategy(nn.Module):
    """Changes how a phase learns; each kind overrides what it changes.

    What it is told of a step follows from the step and what it remembers alone, so that
    a resume repeats it.
    """

    halves: ClassVar[bool] = False  # of batches: there must be two
    of_distributions: ClassVar[bool] = False  # works on what such objectives compare

    def __init__(self, options: Any, course: Course) -> None:
        super().__init__()
        self.options, self.course = options, course

    def trainables(self, _owner: str) -> tuple[Trainable, ...]:
        """How its parameters are trained.

        Args:
            owner: the name that a state has it under.
        """
        return ()

    def draw(self, _loader: Batches, _first: int, _step: int) -> Batch | None:
        """The pairs of a step, where they are not the next ones; as `Phase.draw`."""
        return None

    def rows(self, _batch: Batch) -> dict[str, Tensor]:
        """What `sides` and `beside` find of each pair in the student's `more`."""
        return {}

    def sides(
        self, student: Features, teachers: tuple[Features, ...], _step: int
    ) -> tuple[Features, tuple[Features, ...]]:
        """Features of a whole batch as the objectives are to see them."""
        return student, teachers

    def beside(self, _student: Features, _step: int) -> Tensor | None:
        """A loss of its own, of a whole batch."""
        return None

    def told(self) -> Parts:
        """What of the step is worth logging."""
        return {}

    def after(self) -> None:
        """What follows the update."""


strategies: Registry[type[Strategy]] = Registry("strategy")
