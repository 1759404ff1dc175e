"""Pictures with patches left out.

Legend: B pairs of a batch, P patches of a picture's side, p pixels of a patch's side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...data.batch import Batch
from ...data.seeds import number
from ...losses.needs import Masked
from ...losses.objectives import Weighted
from .provider import Offered, Pass, Provider


class MaskedPictures(Provider):
    """The student's features of every picture with patches made 0."""

    def __init__(self, need: Masked, offered: Offered, _objective: Weighted) -> None:
        self.share, self.seed = need.share, offered.seed

    def student(self, seen: Pass) -> dict[str, Tensor]:
        size = seen.model.shape.image.patch_size
        pixels = self.masked(seen.batch, seen.step, size)
        return {"masked": seen.image(pixels)}

    def masked(self, batch: Batch, step: int, patch: int) -> Tensor:
        """The pixels (B, 3, S, S), the same share of patches left out of each.

        Args:
            patch: pixels of a patch's side; what is left over of a side stays.
        """
        side = batch.pixels.shape[-1] // patch
        gone = round(self.share * side**2)
        pixels = batch.pixels.clone()
        for place, row in enumerate(batch.index_B.tolist()):
            draw = torch.Generator().manual_seed(number(self.seed, "mask", step, row))
            is_kept = torch.ones(side**2)
            is_kept[torch.randperm(side**2, generator=draw)[:gone]] = 0
            whole = is_kept.view(side, side).repeat_interleave(patch, 0)
            whole = whole.repeat_interleave(patch, 1).to(pixels)
            pixels[place, :, : side * patch, : side * patch] *= whole
        return pixels
