"""What has no pair: pictures without captions and texts without pictures.

Legend: N pictures and M texts of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..config.data import Pictures
from ..config.schema import Data
from ..errors import UserError
from .batch import Batch, Unpaired, UnpairedPictures, UnpairedTexts
from .embedded import embedded_in
from .karpathy import is_karpathy, tested_split, validation_split
from .loader import Loader
from .notes import note, number_of
from .pairs import open_pairs, rows_elsewhere
from .protocol import Pairs
from .seeds import order
from .task import ChoiceTask, RetrievalTask, Task, TwoObjectsTask
from .texts import Texts, open_texts
from .tokens import TokenMaker, TokenStore
from .views import Subset


@dataclass(frozen=True)
class UnpairedSources:
    """What data has beside its pairs."""

    pictures: Pairs | None = None
    texts: Texts | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind, by the setting that names it."""
        kinds = {"images": self.pictures, "texts": self.texts}
        return {name: len(kind) for name, kind in kinds.items() if kind is not None}

    @property
    def fingerprints(self) -> dict[str, str]:
        kinds = {"images": self.pictures, "texts": self.texts}
        return {n: kind.fingerprint() for n, kind in kinds.items() if kind is not None}


def open_unpaired(data: Data, val: Pairs, tasks: Sequence[Task]) -> UnpairedSources:
    """What `data.images` and `data.texts` name, without all that is held out: pictures
    to validate on and of an embedded set's tests, captions that are measured on.

    Args:
        val: the validation pairs.
        tasks: what students are measured on.

    Raises:
        UserError: one of them cannot be had, or holds nothing else.
    """
    pictures = texts = None
    if data.images is not None:
        pictures = _pictures(data, [val, *_tests_of(data)])
    if data.texts is not None:
        found = [task.pairs for task in tasks if isinstance(task, RetrievalTask)]
        held_out = {
            text
            for pairs in (val, *found)
            for i in range(len(pairs))
            for text in pairs.captions(i)
        }
        asked = (t.texts for t in tasks if isinstance(t, ChoiceTask | TwoObjectsTask))
        held_out |= {text for items in asked for texts in items for text in texts}
        texts = open_texts(data, held_out)
    return UnpairedSources(pictures, texts)


def _tests_of(data: Data) -> list[Pairs]:
    """The splits of a source that are not to train on, where it has such."""
    embedded = embedded_in(data)
    if embedded is not None:
        return [embedded.held_out(data)]
    if is_karpathy(data):
        found = tested_split(data), validation_split(data)
        return [split for split in found if split is not None]
    return []


def _pictures(data: Data, held_out: Sequence[Pairs]) -> Pairs:
    """The pictures that lie where no held-out one does."""
    pictures = open_pairs(Pictures.of(data))
    rows = rows_elsewhere(pictures, held_out)
    if not len(rows):
        raise UserError(
            "data.images",
            f"every picture of {pictures.name} is held out, to be measured on",
            "Give other pictures",
        )
    if len(rows) == len(pictures):
        return pictures
    gone = number_of(len(pictures) - len(rows), "picture", "pictures")
    note(f"data.images: {data.images}: left out {gone} that are measured on")
    return Subset(pictures, rows)


class TextLoader:
    """Texts in an order that needs no memory of what came before, as a `Loader`'s.

    Args:
        seed: of the order.
        batch: texts a step, of all processes together.
        part: which of how many equal parts this process takes.
    """

    def __init__(
        self,
        texts: Texts,
        tokenizer: TokenMaker,
        *,
        seed: int,
        batch: int,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.texts, self.tokens = texts, TokenStore(tokenizer)
        self.seed, self.size, self.part = seed, batch, part
        self._orders: dict[int, NDArray[np.int64]] = {}

    def batch(self, step: int) -> UnpairedTexts:
        """This process's part of the texts of a step."""
        rank, world = self.part
        share = self.size // world
        first = step * self.size + rank * share
        rows = [self._row(place) for place in range(first, first + share)]
        texts = tuple(self.texts[row] for row in rows)
        return UnpairedTexts(torch.tensor(rows), self.tokens(texts), texts)

    def _row(self, place: int) -> int:
        epoch, offset = divmod(place, len(self.texts))
        if epoch not in self._orders:
            kept = list(self._orders.items())[-1:]  # of batches that straddle two
            new = order(self.seed, epoch, len(self.texts))
            self._orders = dict([*kept, (epoch, new)])
        return int(self._orders[epoch][offset])


@dataclass(frozen=True)
class UnpairedLoader:
    """What steps see beside their pairs.

    Args:
        pictures: their captions, which stand for none, are not used.
    """

    pictures: Loader | None = None
    texts: TextLoader | None = None

    def batch(self, step: int) -> Unpaired:
        """This process's part of a step.

        Raises:
            UserError: too many pictures are broken.
        """
        pictures = texts = None
        if self.pictures is not None:
            drawn = self.pictures.batch(step)
            pictures = UnpairedPictures(
                drawn.index_B, drawn.augmentation_B, drawn.pixels
            )
        if self.texts is not None:
            texts = self.texts.batch(step)
        return Unpaired(pictures, texts)


@dataclass(frozen=True)
class MixedLoader:
    """Pairs, and what has no pair beside them."""

    pairs: Loader
    unpaired: UnpairedLoader

    def batch(self, step: int) -> Batch:
        """This process's part of a step."""
        return replace(self.pairs.batch(step), unpaired=self.beside(step))

    @property
    def size(self) -> int:
        return self.pairs.size

    def span(self, first: int, size: int) -> Batch:
        """This process's part of pairs from any place, nothing beside them."""
        return self.pairs.span(first, size)

    def beside(self, step: int) -> Unpaired:
        """This process's part of what a step sees beside its pairs."""
        return self.unpaired.batch(step)
