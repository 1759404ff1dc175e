"""The tokenizer that open_clip takes for one of its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UserError
from ...shapes import ClipShape
from ...tokenizers.clip import ClipTokenizer
from ...tokenizers.huggingface import HubTokenizer, open_tokenizer
from ...tokenizers.protocol import TokenizerLike

CLIP_IDS = 49_408  # of CLIP's own vocabulary
LONGEST = 4096  # characters of a name, which may be a path
OTHER = "Add ,tokenizer=PATH to the source"


def tokenizer_of(
    name: str, text: Mapping[str, Any], shape: ClipShape, path: str | None, where: str
) -> TokenizerLike:
    """The tokenizer of a model; one that lives on a hub is not fetched yet.

    Args:
        name: of the model; empty where a folder says what it is.
        text: its configuration's `text_cfg`.
        path: where a tokenizer lies that stands in for its own.

    Raises:
        UserError: it has a setting that is not supported, or the path holds none.
    """
    source = text.get("hf_tokenizer_name")
    if not source and path is None and _is_guessed(name, shape):
        raise UserError(
            where,
            f"the configuration of {name or 'its folder'} names no tokenizer, and "
            "open_clip would guess one",
            OTHER,
        )
    call = call_of(text, bool(source) or path is not None, where)
    clean, strip_sep = call["clean"], call["strip_sep_token"]
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
    return ClipTokenizer(None, length, clean)


def _is_guessed(name: str, shape: ClipShape) -> bool:
    """Whether open_clip would guess the tokenizer of a model that names none: by its
    name, or, in a folder, CLIP's own for a SigLIP."""
    if name:
        return "siglip" in name.lower()
    return shape.image.pool == "map" and shape.text.vocab_size != CLIP_IDS


def call_of(text: Mapping[str, Any], hugging: bool, where: str) -> dict[str, Any]:
    """How captions are cleaned, and whether separators are stripped.

    Args:
        hugging: whether it is open_clip's wrapper of Hugging Face's tokenizers.

    Raises:
        UserError: there is another setting.
    """
    for key in ("hf_tokenizer_name", "tokenizer_mode"):
        name = text.get(key)
        if name is not None and (not isinstance(name, str) or len(name) > LONGEST):
            raise UserError(where, f"{key} is {str(name)[:40]!r}, and no name")
    kwargs = text.get("tokenizer_kwargs") or {}
    if not isinstance(kwargs, Mapping):
        raise UserError(where, f"tokenizer_kwargs is {kwargs!r}, and not settings")
    settings = dict(kwargs)
    # open_clip's two tokenizers clean differently where nothing is said
    default = "whitespace" if text.get("hf_tokenizer_name") else "lower"
    clean = str(settings.pop("clean", default))
    strip_sep = bool(settings.pop("strip_sep_token", False)) if hugging else False
    if settings:
        raise UserError(where, f"tokenizer_kwargs has {settings!r}: not supported")
    return {"clean": clean, "strip_sep_token": strip_sep}
