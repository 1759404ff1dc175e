"""What one training step sees.

Legend: B batch, T tokens, S image size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A batch of pairs.

    Args:
        index_B: row numbers in the pairs, int64.
        augmentation_B: which augmentation of the picture this is, int64.
        pixels: (B, 3, S, S), preprocessed, float32.
        tokens_BT: token ids of one caption each.
        captions: those captions.
    """

    index_B: Tensor
    augmentation_B: Tensor
    pixels: Tensor
    tokens_BT: Tensor
    captions: tuple[str, ...] = ()

    def rows(self, index_b: Tensor) -> Batch:
        """Some of its pairs."""
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
        return Batch(
            torch.cat([self.index_B, other.index_B]),
            torch.cat([self.augmentation_B, other.augmentation_B]),
            torch.cat([self.pixels, other.pixels]),
            torch.cat([self.tokens_BT, other.tokens_BT]),
            self.captions + other.captions,
        )

    def __len__(self) -> int:
        return len(self.index_B)
