"""The tokenizer of an export to open_clip.

Without a word about it open_clip takes CLIP's own. Any other it finds only as files of
transformers, which it calls with a cleaning of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import UserError
from ...shapes import TextShape
from ...tokenizers.clip import ClipTokenizer
from ...tokenizers.protocol import TokenizerLike
from ...tokenizers.trimmed import TrimmedTokenizer
from ..huggingface.full_tokenizer import write_full
from ..huggingface.trim import trim_file
from ..huggingface.write_tokenizer import forget_places, padding_counts

WHERE = "--to openclip"


def write_for_openclip(
    tokenizer: TokenizerLike, folder: Path, text: TextShape
) -> dict[str, Any]:
    """Write the tokenizer's files, if it needs any.

    Args:
        text: the tower that the ids are for.

    Returns:
        What `text_cfg` says of the tokenizer.

    Raises:
        UserError: open_clip cannot make these ids; the message says the way out.
    """
    if isinstance(tokenizer, ClipTokenizer) and tokenizer.is_stock:
        return {}
    full = write_full(tokenizer, folder, WHERE, "Export --to onnx")
    if isinstance(full, ClipTokenizer):
        _check_padding(text)
    else:
        forget_places(folder)
    if isinstance(tokenizer, TrimmedTokenizer):
        trim_file(folder, tokenizer.kept)
    return _settings(full)


def _check_padding(text: TextShape) -> None:
    """Refuse a text tower that sees the padding.

    Raises:
        UserError: it does; transformers pads CLIP's vocabularies with end-of-text, ours
            with 0.
    """
    if padding_counts(text):
        raise UserError(
            WHERE,
            "the text tower sees the padding, and open_clip would pad this vocabulary "
            "with another id",
            "Export --to huggingface",
        )


def _settings(full: Any) -> dict[str, Any]:
    """How open_clip is to call the tokenizer that it finds in its folder."""
    clean = full.clean
    kwargs: dict[str, Any] = {"clean": "whitespace" if clean == "none" else clean}
    if getattr(full, "strip_sep", False):
        kwargs["strip_sep_token"] = True
    # any name will do: under local-dir open_clip reads the folder itself
    settings = {"hf_tokenizer_name": "tokenizer", "tokenizer_kwargs": kwargs}
    mode = getattr(full, "mode", None)
    return {**settings, "tokenizer_mode": mode} if mode else settings
