"""Token ids of texts, each text tokenised once.

Legend: B texts, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

HELD = 200_000  # texts


class TokenMaker(Protocol):
    """What is asked of a tokenizer."""

    def __call__(self, texts: list[str]) -> Tensor: ...


class TokenStore:
    """Token ids that were made once; emptied when it holds `HELD` texts."""

    def __init__(self, tokenizer: TokenMaker) -> None:
        self.tokenizer = tokenizer
        self._tokens: dict[str, bytes] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, T) of texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        if new and len(self._tokens) + len(new) > HELD:
            self._tokens.clear()
            new = list(dict.fromkeys(texts))
        if new:
            ids_BT = self.tokenizer(new).to(torch.int32).numpy()
            self._tokens.update(
                (t, ids.tobytes()) for t, ids in zip(new, ids_BT, strict=True)
            )
        rows = b"".join(self._tokens[text] for text in texts)
        flat = np.frombuffer(rows, dtype=np.int32).reshape(len(texts), -1)
        return torch.from_numpy(flat.astype(np.int64))
