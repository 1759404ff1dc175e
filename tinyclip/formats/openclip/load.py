"""Checkpoints that open_clip knows by name, or that a user brings as a file."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import UserError, nearest
from ...model.clip import Clip
from ...model.store import Loaded, check_tokenizer
from ...shapes import ClipShape
from ...tokenizers.protocol import TokenizerLike
from ..tensors import read_tensors
from .config import shape_of
from .model import from_openclip, preprocess_of
from .published import download, published_settings
from .tokenizer import tokenizer_of

log = logging.getLogger("tinyclip")
RANDOM_SEED = 0


def load_openclip(
    spec: str, where: str, tokenizer: TokenizerLike | str | None = None
) -> Loaded:
    """A model of `NAME` (random weights), `NAME/TAG` or `NAME@FILE`.

    Args:
        tokenizer: stands in for the source's own, which may live on a hub: a path
            (what lies there is called as open_clip calls its own), or one that is
            loaded.

    Raises:
        UserError: no such name, tag or file; no network; an unsupported model.
    """
    import open_clip

    name, tag, file = _parts(spec, where)
    cfg = open_clip.get_model_config(name)
    shape = shape_of(cfg, f"openclip:{name}")  # refused before anything is read
    words = tokenizer
    if words is None or isinstance(words, str):
        words = tokenizer_of(name, cfg["text_cfg"], shape, words, where)
    check_tokenizer(words, shape, f"openclip:{name}")
    settings: Mapping[str, Any] = {}
    if file:
        model = from_openclip(cfg, read_tensors(Path(file)), file)
        settings = published_settings(name, Path(file))
    elif tag:
        path, settings = download(name, tag, cfg, where)
        model = from_openclip(cfg, read_tensors(path), str(path))
    else:
        log.warning(
            "openclip:%s names no tag and no file: its weights are random", name
        )
        model = _random(cfg, shape)
    return Loaded(
        model,
        preprocess_of(settings, shape.image.image_size),
        words,
        {"provenance": {"source": f"openclip:{spec}"}},
    )


def _parts(spec: str, where: str) -> tuple[str, str, str]:
    """Name, tag and file of a spec, the latter two empty where it has none.

    Raises:
        UserError: open_clip has no such name, or there is a tag beside a file.
    """
    import open_clip

    name, at, file = spec.partition("@")
    name, _, tag = name.partition("/")
    if name not in open_clip.list_models():
        raise UserError(where, f"open_clip has no model {name!r}", _near(name))
    if at and (tag or not file):
        raise UserError(
            where,
            f"openclip:{spec} names {'a tag and a file' if tag else 'no file'}",
            f"Write openclip:{name}/TAG or openclip:{name}@FILE",
        )
    return name, tag, file


def _near(name: str) -> str:
    """Names that a user may have meant, whatever their capitals."""
    import open_clip

    known = {one.lower(): one for one in open_clip.list_models()}
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    if not close:
        return nearest(name, known.values())
    return f"Did you mean {' or '.join(repr(known[one]) for one in close)}?"


def _random(cfg: Mapping[str, Any], shape: ClipShape) -> Clip:
    """Random weights; the scale and bias of the products start as open_clip's do."""
    model = Clip(shape).init_weights(RANDOM_SEED).eval()
    with torch.no_grad():
        model.logit_scale.fill_(cfg.get("init_logit_scale", math.log(1 / 0.07)))
        if model.logit_bias is not None:
            model.logit_bias.fill_(cfg["init_logit_bias"])
    return model
