"""Batches as a pure function of (seed, step).

Legend: B batch, T tokens, S image size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import UserError
from .batch import Batch, Unpaired
from .broken import Broken, Why, too_many_broken
from .pixels import PixelStore
from .protocol import Pairs
from .seeds import block_order, number, order
from .tokens import TokenMaker, TokenStore
from .views import Subset, blocks_of

TRIED_FIRST = 100  # rows tried before the share of broken ones is judged

Made = TypeVar("Made")


class PixelMaker(Protocol):
    """What the loader asks of a `Preprocess`."""

    def __call__(self, image: Image.Image) -> Tensor: ...

    def augmented(self, image: Image.Image, seed: int, crop: float) -> Tensor: ...


class Loader:
    """Batches of pairs in an order that needs no memory of what came before.

    An epoch is a permutation by (seed, epoch), of blocks where the pairs have such (a
    large parquet's row groups); a batch may straddle two. The caption
    and the augmentation of a sample are drawn by (seed, epoch, key). A broken row is
    replaced by the next whole one of `indices`: next by number, since its neighbour in
    the epoch's order is mostly in the same batch already.

    Args:
        pairs: where rows come from.
        indices: the rows to use.
        preprocess: makes pixels of pictures.
        tokenizer: makes ids of captions.
        seed: of order, captions and augmentations.
        batch: pairs a step.
        augmentations: 1 for the plain picture, else so many seeded ones of each.
        crop: smallest share of the picture that an augmentation keeps.
        max_broken_share: of the rows; over it the run stops.
        memory: bytes of pixels to hold.
        workers: threads that decode pictures; they change no result.
        part: which of how many equal parts of every batch this process takes.
        met: told of each broken row, when it is first read; in whichever thread.

    Raises:
        UserError: there are fewer rows than one batch needs, or a batch does not
            divide into the parts.
    """

    def __init__(
        self,
        pairs: Pairs,
        indices: Sequence[int],
        preprocess: PixelMaker,
        tokenizer: TokenMaker,
        *,
        seed: int,
        batch: int,
        augmentations: int = 1,
        crop: float = 0.9,
        max_broken_share: float = 0.01,
        memory: int = 512 * 2**20,
        workers: int = 0,
        part: tuple[int, int] = (0, 1),
        met: Callable[[str, Why], None] = lambda key, why: None,
    ) -> None:
        if len(indices) < batch:
            raise UserError(
                pairs.name,
                f"{len(indices)} pairs to train on, and one batch is {batch}",
                "Give more pairs, or a smaller batch",
            )
        if batch % part[1]:
            raise UserError(
                "batch",
                f"{batch} pairs do not divide among {part[1]} processes",
                f"Use a multiple of {part[1]}",
            )
        self.part, self._met = part, met
        self.pairs, self.indices = pairs, np.asarray(indices, dtype=np.int64)
        self.preprocess, self.tokens = preprocess, TokenStore(tokenizer)
        self.seed, self.size = seed, batch
        self.augmentations, self.crop = augmentations, crop
        self.max_broken_share = max_broken_share
        self.broken: dict[str, tuple[str, str]] = {}
        self._tried: set[int] = set()
        self._blocks = blocks_of(Subset(pairs, self.indices))
        self._orders: dict[int, NDArray[np.int64]] = {}
        self._held = PixelStore(memory)
        self._augmenting = Lock()
        self._pool = ThreadPoolExecutor(workers) if workers else None

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of a step; any step, in any order.

        Raises:
            UserError: too many pictures are broken.
        """
        return self.span(step * self.size, self.size)

    def beside(self, _step: int) -> Unpaired:
        """Nothing: there are pairs alone."""
        return Unpaired()

    def span(self, first: int, size: int) -> Batch:
        """This process's part of so many pairs from a place on in the endless order.

        Raises:
            UserError: too many pictures are broken.
        """
        rank, world = self.part
        share = size // world
        first += rank * share
        places = range(first, first + share)
        drawn = list(self.each(self._draw, places))
        rows, augmentations, captions, pixels = zip(*drawn, strict=True)
        return Batch(
            torch.tensor(rows),
            torch.tensor(augmentations),
            torch.stack(pixels),
            self.tokens(captions),
            tuple(captions),
        )

    def like(self, batch: Batch) -> Batch:
        """The samples that another loader of the same pairs drew, in the pixels and ids
        that this one makes.

        Raises:
            UserError: a picture that could be read for the other cannot be read now.
        """
        views = zip(batch.index_B.tolist(), batch.augmentation_B.tolist(), strict=True)
        pixels = (self._pool.map if self._pool else map)(self._again, views)
        return replace(
            batch,
            pixels=torch.stack(list(pixels)),
            tokens_BT=self.tokens(batch.captions),
        )

    def _again(self, view: tuple[int, int]) -> Tensor:
        try:
            return self.sample(*view)
        except Broken as broken:
            raise UserError(
                self.pairs.key(view[0]),
                f"could be read, and cannot any more ({broken.kind}: {broken.detail})",
                "Put it back, and go on with --resume",
            ) from None

    def sample(self, i: int, augmentation: int = 0) -> Tensor:
        """Pixels (3, S, S) of row `i` of the pairs; raises `Broken`."""
        held = self._held.get((i, augmentation))
        if held is not None:
            return held
        image = self.pairs.image(i)
        if self.augmentations == 1:
            pixels = self.preprocess(image)
        else:
            seed = number(self.seed, "augment", self.pairs.key(i), augmentation)
            # a transform may seed the process's generator: one thread at a time
            with self._augmenting:
                pixels = self.preprocess.augmented(image, seed=seed, crop=self.crop)
        self._held.put((i, augmentation), pixels)
        return pixels

    def each(self, of: Callable[[int], Made], numbers: Iterable[int]) -> Iterator[Made]:
        """What a function makes of each number, in the threads that decode pictures."""
        return self._pool.map(of, numbers) if self._pool else map(of, numbers)

    def whole(self, row: int, augmentation: int) -> Tensor | None:
        """Pixels of a row, or None where it is broken, which counts.

        Raises:
            UserError: too many pictures are broken.
        """
        key = self.pairs.key(row)
        return None if key in self.broken else self._whole(row, key, augmentation)

    def pixels_or_blank(self, row: int, augmentation: int) -> Tensor:
        """Pixels of a row, zeros where it is broken: no batch ever shows those."""
        pixels = self.whole(row, augmentation)
        return torch.zeros_like(self._blank()) if pixels is None else pixels

    def _blank(self) -> Tensor:
        return self.preprocess(Image.new("RGB", (8, 8)))

    def all_captions(self) -> list[str]:
        """Every distinct caption of the rows, in the rows' order."""
        texts = (text for row in self.indices for text in self.pairs.captions(int(row)))
        return list(dict.fromkeys(texts))

    def _draw(self, place: int) -> tuple[int, int, str, Tensor]:
        """Row, augmentation, caption and pixels of one place in the endless order."""
        epoch, offset = divmod(place, len(self.indices))
        position = int(self._order(epoch)[offset])
        for _ in range(len(self.indices)):
            row = int(self.indices[position])
            key = self.pairs.key(row)
            if key not in self.broken:
                draw = number(self.seed, "augmentation", epoch, key)
                augmentation = draw % self.augmentations
                pixels = self._whole(row, key, augmentation)
                if pixels is not None:
                    texts = self.pairs.captions(row)
                    chosen = number(self.seed, "caption", epoch, key) % len(texts)
                    return row, augmentation, texts[chosen], pixels
            position = (position + 1) % len(self.indices)
        raise self._stop()

    def _whole(self, row: int, key: str, augmentation: int) -> Tensor | None:
        """Pixels of a row, or None and an entry in `broken`."""
        self._tried.add(row)
        try:
            return self.sample(row, augmentation)
        except Broken as broken:
            self.broken[key] = (broken.kind, broken.detail)
            self._met(key, self.broken[key])
        if self._too_many():
            raise self._stop()
        return None

    def _too_many(self) -> bool:
        """Whether the share of broken rows is over the limit.

        Either so many are known that it must be, or a sample of `TRIED_FIRST` rows or
        more says so by three standard errors: a run is not stopped by bad luck early.
        """
        limit, tried = self.max_broken_share, len(self._tried)
        if len(self.broken) > limit * len(self.indices):
            return True
        luck = 3 * math.sqrt(limit * (1 - limit) * tried)
        return tried >= TRIED_FIRST and len(self.broken) > limit * tried + luck

    def _stop(self) -> UserError:
        return too_many_broken(
            self.pairs.name, self.broken, len(self._tried), self.max_broken_share
        )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The permutation of an epoch; two are held, for batches that straddle."""
        permutation = self._orders.get(epoch)
        if permutation is None:
            permutation = (
                order(self.seed, epoch, len(self.indices))
                if self._blocks is None
                else block_order(self.seed, epoch, self._blocks)
            )
            kept = list(self._orders.items())[-1:]
            self._orders = dict([*kept, (epoch, permutation)])
        return permutation
