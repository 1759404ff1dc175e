"""The tokenizer that open_clip takes for one of its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UserError
from ...shapes import ClipShape
from ...tokenizers.clip import Tokenizer
from ...tokenizers.huggingface import HubTokenizer, open_tokenizer
from ...tokenizers.protocol import TokenizerLike

OTHER = "Add ,tokenizer=PATH to the source"


def tokenizer_of(
    name: str, text: Mapping[str, Any], shape: ClipShape, path: str | None, where: str
) -> TokenizerLike:
    """The tokenizer of a model; one that lives on a hub is not fetched yet.

    Args:
        name: of the model.
        text: its configuration's `text_cfg`.
        path: where a tokenizer lies that stands in for its own.

    Raises:
        UserError: it has a setting that is not supported, or the path holds none.
    """
    source = text.get("hf_tokenizer_name")
    if not source and path is None and "siglip" in name.lower():
        raise UserError(
            where,
            f"{name}'s configuration names no tokenizer, and open_clip would guess one",
            OTHER,
        )
    clean, strip_sep = _settings(text, bool(source) or path is not None, where)
    length, ids = shape.text.context_length, shape.text.vocab_size
    mode = text.get("tokenizer_mode")
    if path is not None:
        return open_tokenizer(
            path,
            length,
            clean=clean,
            strip_sep=strip_sep,
            mode=mode,
            vocab_size=ids,
            siglip=shape.image.pool == "map",
            where=f"{where}: tokenizer",
        )
    if source:
        return HubTokenizer(source, length, clean, strip_sep, mode, ids)
    return Tokenizer(None, length, clean)


def _settings(text: Mapping[str, Any], hugging: bool, where: str) -> tuple[str, bool]:
    """How captions are cleaned, and whether separators are stripped.

    Args:
        hugging: whether it is open_clip's wrapper of Hugging Face's tokenizers.

    Raises:
        UserError: there is another setting.
    """
    settings = dict(text.get("tokenizer_kwargs") or {})
    # open_clip's two tokenizers clean differently where nothing is said
    default = "whitespace" if text.get("hf_tokenizer_name") else "lower"
    clean = str(settings.pop("clean", default))
    strip_sep = bool(settings.pop("strip_sep_token", False)) if hugging else False
    if settings:
        raise UserError(where, f"tokenizer_kwargs has {settings!r}: not supported")
    return clean, strip_sep
