"""The tokenizer that lies in a model directory, whatever its kind.

A directory says of its tokenizer at least `kind`; `LOADERS` has one entry a kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from .clip import ClipTokenizer
from .huggingface import load_hf
from .protocol import TokenizerLike
from .trimmed import load_trimmed

Loader = Callable[[Path, Mapping[str, Any]], TokenizerLike]


def load_tokenizer(folder: Path, spec: Mapping[str, Any]) -> TokenizerLike:
    """The tokenizer that lies in a model directory; no network.

    Args:
        spec: what `to_dict` gave.

    Raises:
        UserError: its kind is unknown, or its files are missing or damaged.
    """
    kind = spec.get("kind", "bpe")  # the first directories had no other
    if not isinstance(kind, str) or kind not in LOADERS:
        raise UserError(
            str(folder / "config.json"),
            f"has a tokenizer of kind {str(kind)[:40]!r}",
            f"{nearest(str(kind)[:40], LOADERS)}. A newer tinyclip may know it",
        )
    return LOADERS[kind](folder, spec)


LOADERS: dict[str, Loader] = {
    "bpe": ClipTokenizer.load,
    "hf": load_hf,
    # it wraps one of the others
    "trimmed": lambda folder, spec: load_trimmed(folder, spec, load_tokenizer),
}
