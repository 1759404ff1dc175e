"""What all who provide something to objectives have in common.

Legend: B pairs of a batch, N pictures, M captions, T tokens, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

from torch import Tensor

from ...data.batch import Batch
from ...data.loader import Loader
from ...losses.objectives import Weighted
from ...model.clip import Clip
from ..engine import Engine
from ..teacher.live import LiveTeacher, Teacher


@dataclass(frozen=True)
class Offered:
    """What a stage has to provide things from.

    Args:
        loader: of the pairs that it trains on.
        teacher: as every step asks it: cached or live.
        live: the teacher itself.
        seed: of what is drawn.
        phase: told the name of what takes long before the first step, how much of it
            is done, and of how much.
    """

    engine: Engine
    loader: Loader
    teacher: Teacher
    live: Callable[[], LiveTeacher]
    seed: int
    phase: Callable[[str, int, int], None] = lambda _name, _done, _total: None

    def telling(self, name: str) -> Callable[[int, int], None]:
        """Who is told of something that takes long: how much is done, of how much."""
        return partial(self.phase, name)

    @cached_property
    def running(self) -> LiveTeacher:
        """The teacher itself: one for all that run it, and the one that steps ask, if
        they ask a live one; so it runs once."""
        teacher = self.teacher
        return teacher if isinstance(teacher, LiveTeacher) else self.live()


@dataclass(frozen=True)
class Pass:
    """A forward pass of the student over some pairs, under a step's gates.

    A batch may come in pieces, and a piece twice: what is drawn for a pair depends on
    the seed, the step and the pair alone.
    """

    model: Clip
    batch: Batch
    step: int
    gates: Any = None

    def image(self, pixels: Tensor) -> Tensor:
        """The student's features (N, E) of other pictures (N, 3, S, S)."""
        pixels = pixels.to(self.model.logit_scale)
        return self.model.encode_image(pixels, normalize=True, gates=self.gates)

    def text(self, tokens_MT: Tensor) -> Tensor:
        """The student's features (M, E) of other captions."""
        tokens_MT = tokens_MT.to(self.model.logit_scale.device)
        return self.model.encode_text(tokens_MT, normalize=True, gates=self.gates)


class Provider:
    """Provides what one objective needs; each kind overrides what it has."""

    def watching(self, _model: Clip) -> AbstractContextManager[None]:
        """What looks on while the student's own forward pass runs."""
        return nullcontext()

    def student(self, _seen: Pass) -> dict[str, Tensor]:
        """Of the student, with a gradient, by part: (B, ...) each."""
        return {}

    def teacher(self, _batch: Batch, _step: int) -> dict[str, Tensor]:
        """Of the teacher, without a gradient, by part: (B, ...) each."""
        return {}


# made of the need, of what the stage offers, and of the objective
MakeProvider: TypeAlias = Callable[[Any, Offered, Weighted], Provider]
