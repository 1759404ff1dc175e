"""Features of what has no pair, of the student and of the teacher.

Legend: N pictures and M texts without a pair, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ..data.batch import Batch, UnpairedPictures, UnpairedTexts
from ..losses.unpaired import IMAGE, TEXT
from ..model.clip import Features
from .needs.provider import Pass
from .teacher.live import LiveTeacher, Teacher

OfPictures = Callable[[UnpairedPictures], Tensor]
OfTexts = Callable[[UnpairedTexts], Tensor]


def of_student(seen: Pass) -> dict[str, Tensor]:
    """The student's features, with a gradient: (N, E) and (M, E), by name."""
    unpaired = seen.batch.unpaired
    features = {}
    if (pictures := unpaired.pictures) is not None:
        features[IMAGE] = seen.image(pictures.pixels)
    if (texts := unpaired.texts) is not None:
        features[TEXT] = seen.text(texts.tokens_MT)
    return features


@dataclass(frozen=True)
class UnpairedTeacher:
    """A teacher of pairs, and of what has none.

    Args:
        pairs: what knows the features of pairs.
        pictures, texts: what gives features (N, E) and (M, E), float32 and without a
            gradient, of the others; None where a run has none.
    """

    pairs: Teacher
    pictures: OfPictures | None = None
    texts: OfTexts | None = None

    @classmethod
    def live(cls, teacher: LiveTeacher) -> UnpairedTeacher:
        """One that is asked for everything at every step."""
        return cls(
            teacher,
            lambda pictures: teacher.images(pictures.pixels),
            lambda texts: teacher.texts(texts.tokens_MT, texts.texts),
        )

    def features(self, batch: Batch) -> Features:
        """Features of one batch, those of what has no pair among its `more`."""
        features, unpaired = self.pairs.features(batch), batch.unpaired
        more = dict(features.more)
        if unpaired.pictures is not None:
            assert self.pictures is not None, "a run knows whether it has pictures"
            more[IMAGE] = self.pictures(unpaired.pictures)
        if unpaired.texts is not None:
            assert self.texts is not None, "a run knows whether it has texts"
            more[TEXT] = self.texts(unpaired.texts)
        return replace(features, more=more)
