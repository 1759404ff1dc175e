"""Pictures turned by quarters.

Legend: B pairs of a batch, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...data.batch import Batch
from ...losses.needs import Rotated
from ...losses.objectives import Weighted
from .provider import Offered, Pass, Provider

QUARTERS = (1, 2, 3)


class RotatedPictures(Provider):
    """The features of every picture turned by 90, 180 and 270 degrees, of the student
    and of the teacher itself."""

    def __init__(self, _need: Rotated, offered: Offered, _objective: Weighted) -> None:
        self.live = offered.running

    def student(self, seen: Pass) -> dict[str, Tensor]:
        return {"rotated": _turned(seen.batch, seen.image)}

    def teacher(self, batch: Batch, _step: int) -> dict[str, Tensor]:
        return {"rotated": _turned(batch, self.live.images)}


def _turned(batch: Batch, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """(B, 3, E), against the clock."""
    pixels = batch.pixels
    return torch.stack(
        [encode(pixels.rot90(quarter, (2, 3))) for quarter in QUARTERS], dim=1
    )
