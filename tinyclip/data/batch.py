"""What one training step sees.

Legend: B batch, N pictures and M texts without a pair, T tokens, S image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class UnpairedPictures:
    """Pictures that have no caption.

    Args:
        index_N: row numbers in their source, int64.
        augmentation_N: which augmentation of the picture this is, int64.
        pixels: (N, 3, S, S), preprocessed, float32.
    """

    index_N: Tensor
    augmentation_N: Tensor
    pixels: Tensor

    def rows(self, index_n: Tensor) -> UnpairedPictures:
        """Some of them."""
        index_N, augmentation_N = self.index_N[index_n], self.augmentation_N[index_n]
        return UnpairedPictures(index_N, augmentation_N, self.pixels[index_n])

    def __len__(self) -> int:
        return len(self.index_N)


@dataclass(frozen=True)
class UnpairedTexts:
    """Texts that have no picture.

    Args:
        index_M: their numbers in the source, int64.
        tokens_MT: their token ids.
        texts: themselves.
    """

    index_M: Tensor
    tokens_MT: Tensor
    texts: tuple[str, ...] = ()

    def rows(self, index_m: Tensor) -> UnpairedTexts:
        """Some of them."""
        texts = self.texts and tuple(self.texts[i] for i in index_m.tolist())
        return UnpairedTexts(self.index_M[index_m], self.tokens_MT[index_m], texts)

    def __len__(self) -> int:
        return len(self.index_M)


@dataclass(frozen=True)
class Unpaired:
    """What a step sees beside its pairs; None where there is nothing of a kind."""

    pictures: UnpairedPictures | None = None
    texts: UnpairedTexts | None = None

    def pieces(self, count: int) -> list[Unpaired]:
        """So many parts, alike in size; some are empty where there are too few."""

        def parts(rows: int) -> Sequence[Tensor]:
            return torch.arange(rows).tensor_split(count)

        pieces = [Unpaired()] * count
        if (pictures := self.pictures) is not None:
            shares = map(pictures.rows, parts(len(pictures)))
            pieces = [Unpaired(share) for share in shares]
        if (texts := self.texts) is not None:
            shares_of_texts = map(texts.rows, parts(len(texts)))
            both = zip(pieces, shares_of_texts, strict=True)
            pieces = [replace(piece, texts=share) for piece, share in both]
        return pieces


@dataclass(frozen=True)
class Batch:
    """A batch of pairs.

    Args:
        index_B: row numbers in the pairs, int64.
        augmentation_B: which augmentation of the picture this is, int64.
        pixels: (B, 3, S, S), preprocessed, float32.
        tokens_BT: token ids of one caption each.
        captions: those captions.
        unpaired: what is seen beside them.
    """

    index_B: Tensor
    augmentation_B: Tensor
    pixels: Tensor
    tokens_BT: Tensor
    captions: tuple[str, ...] = ()
    unpaired: Unpaired = field(default_factory=Unpaired)

    def rows(self, index_b: Tensor) -> Batch:
        """Some of its pairs, nothing beside them."""
        captions = self.captions and tuple(self.captions[i] for i in index_b.tolist())
        return Batch(
            self.index_B[index_b],
            self.augmentation_B[index_b],
            self.pixels[index_b],
            self.tokens_BT[index_b],
            captions,
        )

    def joined(self, other: Batch) -> Batch:
        """Its pairs and then those of another."""
        return replace(
            self,
            index_B=torch.cat([self.index_B, other.index_B]),
            augmentation_B=torch.cat([self.augmentation_B, other.augmentation_B]),
            pixels=torch.cat([self.pixels, other.pixels]),
            tokens_BT=torch.cat([self.tokens_BT, other.tokens_BT]),
            captions=self.captions + other.captions,
        )

    def pieces(self, count: int) -> list[Batch]:
        """At most so many parts; what has no pair is shared among them."""
        parts = [self.rows(part) for part in torch.arange(len(self)).chunk(count)]
        beside = self.unpaired.pieces(len(parts))
        both = zip(parts, beside, strict=True)
        return [replace(part, unpaired=own) for part, own in both]

    def __len__(self) -> int:
        return len(self.index_B)


class Batches(Protocol):
    """What gives the batch of a step, of this process its part."""

    @property
    def size(self) -> int:
        """Pairs of a step, of all processes together."""

    def batch(self, step: int) -> Batch: ...

    def span(self, first: int, size: int) -> Batch:
        """Pairs from any place of the endless order, nothing beside them."""

    def beside(self, step: int) -> Unpaired:
        """What a step sees beside its pairs."""
