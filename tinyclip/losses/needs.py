"""What an objective may ask of the loop beside the features of a batch.

An objective says so where it is registered, and one with options makes it of them:

    @objectives.register("mfd", need=lambda options: Masked(share=options.masked))

`training.needs` has who provides each kind. What is provided for an objective lies in
the features' `more`, by the objective's name and that of the part: `mfd.masked`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something beside the features; a subclass for each kind.

    Args:
        images, texts: pictures and captions that the student encodes for it, of every
            pair of the batch: what plans count.
        teacher_images: pictures that the teacher itself encodes for it, beside those
            of the batch.
    """

    what: ClassVar[str]  # as a message names it
    runs_teacher: ClassVar[bool] = False  # at every step: no cache holds it
    looks_around: ClassVar[bool] = False  # at features of all that is trained on

    images: float = 0.0
    texts: float = 0.0
    teacher_images: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LayerTokens(Need):
    """Tokens of layers of the student and of the teacher itself, which runs at every
    step.

    Asks the objective, a `losses.tokens.OfTokens`, which layers belong together and how
    far their tokens are from each other. Provides that, (B,), for each of its `towers`
    under the tower's name, of the student.
    """

    what: ClassVar[str] = "tokens of layers"
    runs_teacher: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Masked(Need):
    """The student's features of every picture with patches left out.

    Provides `masked` (B, E) of the student.

    Args:
        share: of the patches that are left out.
    """

    what: ClassVar[str] = "pictures with patches left out"

    share: float
    images: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Labels(Need):
    """Which captions of a batch fit which of its pictures.

    Provides of the teacher's side, whole numbers that are equal where what they stand
    for is, -1 for none: `fitting` (B, K), the captions that fit each picture; `caption`
    (B,), the one that stands beside it; `label` (B,), its class.
    """

    what: ClassVar[str] = "labels"


@dataclass(frozen=True, kw_only=True)
class Rotated(Need):
    """Every picture turned by 90, 180 and 270 degrees, for the student and for the
    teacher itself.

    Provides `rotated` (B, 3, E) of both.
    """

    what: ClassVar[str] = "features of turned pictures"
    runs_teacher: ClassVar[bool] = True

    images: float = 3.0
    teacher_images: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Neighbours(Need):
    """The pictures that the teacher finds most like each picture of a batch.

    Provides of the teacher's side `rows` (B, 1 + K), which pictures they are: its own
    first, -1 where there are no more; and `features` (B, K, F), theirs.

    Args:
        count: K, how many of each.
    """

    what: ClassVar[str] = "the nearest others of each picture"
    looks_around: ClassVar[bool] = True

    count: int


@dataclass(frozen=True, kw_only=True)
class Hard(Need):
    """Near pictures that join a batch with their captions, and captions of which two
    words are swapped.

    Provides of the student `images` and `texts` (B, J, E) of what joins, and `swapped`
    (B, 1 + J, E) of all captions with words swapped; of the teacher's side `rows`
    (B, 1 + J), which pairs they are, -1 where none could be had, and `swaps`
    (B, 1 + J), 1 where a caption could be swapped, else 0.

    Args:
        joining: J, how many of the nearest join.
        nearest: of how many they are drawn.
    """

    what: ClassVar[str] = "the nearest others of each picture"
    looks_around: ClassVar[bool] = True

    joining: int
    nearest: int
