"""From captions to token ids: what a tokenizer is, and CLIP's own.

A model directory says of its tokenizer at least `kind`; `LOADERS` has one entry a kind.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..errors import UserError, nearest
from .files import write_bytes
from .tokenizer_hf import load_hf

FILE = "bpe.txt.gz"


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


class Tokenizer:
    """CLIP's tokenizer over a vocabulary of its own.

    Args:
        merges: the gzipped merges file, its bytes; None for CLIP's own 49,408 ids.
        context_length: ids a caption; longer ones are cut, end-of-text kept.
        clean: how captions are cleaned: `lower`, `whitespace` or `canonicalize`.
    """

    def __init__(
        self, merges: bytes | None, context_length: int, clean: str = "lower"
    ) -> None:
        from open_clip.tokenizer import SimpleTokenizer, default_bpe

        self.merges = Path(default_bpe()).read_bytes() if merges is None else merges
        self.context_length, self.clean = context_length, clean
        with tempfile.NamedTemporaryFile(suffix=".txt.gz") as file:
            file.write(self.merges)
            file.flush()
            self._stock = SimpleTokenizer(
                bpe_path=file.name, context_length=context_length, clean=clean
            )

    @property
    def is_stock(self) -> bool:
        """Whether it is CLIP's own, which open_clip has without any file."""
        from open_clip.tokenizer import default_bpe

        own = Path(default_bpe()).read_bytes()
        return self.clean == "lower" and self.merges == own

    @property
    def vocab_size(self) -> int:
        return int(self._stock.vocab_size)

    @property
    def encoder(self) -> dict[str, int]:
        """Every token's id."""
        return dict(self._stock.encoder)

    @property
    def bpe_ranks(self) -> dict[tuple[str, str], int]:
        """Every merge's rank."""
        return dict(self._stock.bpe_ranks)

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Ids (B, T), int64, padded with 0."""
        made: Tensor = self._stock([texts] if isinstance(texts, str) else list(texts))
        return made

    def save(self, folder: Path) -> None:
        """Write the vocabulary file into a model directory."""
        write_bytes(folder / FILE, self.merges)

    def to_dict(self) -> dict[str, Any]:
        """What `load` needs to know beside the file."""
        return {
            "kind": "bpe",
            "file": FILE,
            "context_length": self.context_length,
            "vocab_size": self.vocab_size,
            "clean": self.clean,
        }

    @classmethod
    def load(cls, folder: Path, spec: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer that lies in a model directory.

        Raises:
            UserError: its file is missing or no merges file.
        """
        path = folder / FILE
        try:
            path = folder / str(spec["file"])
            merges = path.read_bytes()
            return cls(merges, int(spec["context_length"]), str(spec["clean"]))
        except KeyError as error:
            raise UserError(
                str(folder / "config.json"), f"the tokenizer lacks {error}"
            ) from None
        except (OSError, EOFError, zlib.error, AssertionError, ValueError) as error:
            raise UserError(
                str(path), f"is no tokenizer file ({error})", "Restore the directory"
            ) from None


def _load_trimmed(folder: Path, spec: Mapping[str, Any]) -> TokenizerLike:
    from .vocabulary import load_trimmed  # it wraps one of the others

    return load_trimmed(folder, spec)


Loader = Callable[[Path, Mapping[str, Any]], TokenizerLike]
LOADERS: dict[str, Loader] = {
    "bpe": Tokenizer.load,
    "hf": load_hf,
    "trimmed": _load_trimmed,
}


def load_tokenizer(folder: Path, spec: Mapping[str, Any]) -> TokenizerLike:
    """The tokenizer that lies in a model directory; no network.

    Args:
        spec: what `to_dict` gave.

    Raises:
        UserError: its kind is unknown, or its files are missing or damaged.
    """
    kind = spec.get("kind", "bpe")  # the first directories had no other
    if kind not in LOADERS:
        raise UserError(
            str(folder / "config.json"),
            f"has a tokenizer of kind {kind!r}",
            f"{nearest(kind, LOADERS)}. A newer tinyclip may know it",
        )
    return LOADERS[kind](folder, spec)
