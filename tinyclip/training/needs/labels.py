"""Which captions fit which pictures, as numbers that are compared after the gather.

Legend: B pairs of a batch, K captions of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...data.batch import Batch
from ...data.seeds import number
from ...data.views import labels_of
from ...losses.needs import Labels
from ...losses.objectives import Weighted
from .provider import Offered, Provider

NONE = -1  # no text and no class has this number
MOST = 64  # captions of a picture that are compared


class FittingCaptions(Provider):
    """Every caption of a picture fits it, the one that the batch shows and the others;
    captions that are equal are one, and pictures of one class share theirs.

    Of a picture with more than `MOST` captions the first are compared, beside the one
    that is shown.
    """

    def __init__(self, _need: Labels, offered: Offered, _objective: Weighted) -> None:
        loader, self.device = offered.loader, offered.engine.device
        self.pairs, self.labels = loader.pairs, labels_of(loader.pairs)
        # the same for all batches and processes: rows of one width are gathered
        counts = (len(self.pairs.captions(int(row))) for row in loader.indices)
        self.width = min(MOST, max(counts))

    def teacher(self, batch: Batch, _step: int) -> dict[str, Tensor]:
        rows = zip(batch.index_B.tolist(), batch.captions, strict=True)
        fitting = [self._fitting(row, shown) for row, shown in rows]
        numbers = {
            "fitting": fitting,
            "caption": [_text(shown) for shown in batch.captions],
            "label": [self._label(row) for row in batch.index_B.tolist()],
        }
        return {
            part: torch.tensor(values, device=self.device)
            for part, values in numbers.items()
        }

    def _fitting(self, row: int, shown: str) -> list[int]:
        texts: Sequence[str] = [shown, *self.pairs.captions(row)]
        numbers = [_text(text) for text in dict.fromkeys(texts)][: self.width]
        return numbers + [NONE] * (self.width - len(numbers))

    def _label(self, row: int) -> int:
        return NONE if self.labels is None else number("class", self.labels[row])


def _text(text: str) -> int:
    return number("caption", text)
