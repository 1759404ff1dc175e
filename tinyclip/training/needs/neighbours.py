"""Bags: each picture with those that the teacher finds most like it.

Legend: B pairs of a batch, K neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...data.batch import Batch
from ...losses.needs import Neighbours
from ...losses.objectives import Weighted
from .nearest import Nearby
from .provider import Offered, Provider


class Bags(Provider):
    """The neighbours of each picture of a batch, as the teacher has them cached."""

    def __init__(
        self, need: Neighbours, offered: Offered, _objective: Weighted
    ) -> None:
        self.nearby = Nearby.found(offered, need.count)
        self.device = offered.engine.device

    def teacher(self, batch: Batch, _step: int) -> dict[str, Tensor]:
        near_BK = self.nearby.of(batch.index_B)
        rows_BK = torch.cat([batch.index_B[:, None], near_BK], 1)
        features_BKF = self.nearby.features(near_BK)
        return {"rows": rows_BK.to(self.device), "features": features_BKF}
