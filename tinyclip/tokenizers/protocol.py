"""What every tokenizer of ours has, whoever made its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor


class TokenizerLike(Protocol):
    """What every tokenizer of ours has.

    `context_length`: ids a caption, T. `vocab_size`: every id is smaller than it.
    """

    @property
    def context_length(self) -> int: ...

    @property
    def vocab_size(self) -> int: ...

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Ids (B, T), int64."""

    def save(self, folder: Path) -> None:
        """Write its files into a model directory."""

    def to_dict(self) -> dict[str, Any]:
        """What its loader needs to know beside the files: `kind` and more."""
