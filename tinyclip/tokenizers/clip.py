"""CLIP's own tokenizer, over its vocabulary or another."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from ..bounded import gunzip, read_bytes
from ..bounds import TOKENS, check_number
from ..errors import StorageError, UserError
from ..files import write_bytes

FILE = "bpe.txt.gz"
LARGEST = 2**26  # bytes of merges, packed or not; CLIP's own are 3 million


@contextmanager
def _on_disk(merges: bytes) -> Iterator[str]:
    """A file of these bytes: open_clip reads nothing else.

    Raises:
        StorageError: the folder of temporary files takes no more.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = Path(folder) / FILE
            path.write_bytes(merges)
        except OSError as error:
            raise StorageError(tempfile.gettempdir(), error) from None
        yield str(path)


class ClipTokenizer:
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
        with _on_disk(self.merges) as name:
            self._stock = SimpleTokenizer(
                bpe_path=name, context_length=context_length, clean=clean
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
        ids_BT: Tensor = self._stock([texts] if isinstance(texts, str) else list(texts))
        return ids_BT

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
    def load(cls, folder: Path, spec: Mapping[str, Any]) -> ClipTokenizer:
        """The tokenizer that lies in a model directory.

        Raises:
            UserError: its file is missing or no merges file.
        """
        path = folder / FILE
        try:
            path = folder / str(spec["file"])
            merges = read_bytes(path, LARGEST)
            gunzip(merges, LARGEST).decode("utf-8")
            length = spec["context_length"]
            check_number("context_length", length, TOKENS)
            tokenizer = cls(merges, length, str(spec["clean"]))
            if tokenizer.vocab_size < spec.get("vocab_size", 0):
                raise ValueError(
                    f"it makes {tokenizer.vocab_size} ids of {spec['vocab_size']}"
                )
            return tokenizer
        except KeyError as error:
            raise UserError(
                str(folder / "config.json"), f"the tokenizer lacks {error}"
            ) from None
        except (
            *(OSError, EOFError, zlib.error),
            *(AssertionError, ValueError, KeyError, IndexError),
        ) as error:
            raise UserError(
                str(path), f"is no tokenizer file ({error})", "Restore the directory"
            ) from None
