"""A model whose text features are mapped, measured without running its towers again.

Legend: N items, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from .features import Encoder


class Mapped(Encoder):
    """The pictures of another encoder, and its texts times a map (E, E)."""

    def __init__(self, plain: Encoder, map_EE: Tensor) -> None:
        super().__init__(plain.model, plain.preprocess, plain.tokenizer, plain.batch)
        self._plain, self._map_EE = plain, map_EE
        self._seen = plain._seen  # what one has seen, the other has

    def texts(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(self._plain.texts(texts) @ self._map_EE, dim=-1)
