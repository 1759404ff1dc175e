"""Checkpoints that open_clip knows by name, or that a user brings."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ...model.clip import Clip
from ...model.licences import licence_beside
from ...model.store import Loaded, check_tokenizer
from ...shapes import ClipShape
from ...tokenizers.protocol import TokenizerLike
from ..tensors import read_tensors
from .agreement import described, name_of, refuse_other
from .folder import (
    config_with_model,
    has_tokenizer,
    hub_folder,
    read_folder_config,
    weights_at,
)
from .layout import CONFIG
from .model import from_openclip, preprocess_of
from .published import agreed_settings, download, warn_of_gelu
from .spec import Spec, read_spec
from .tokenizer import tokenizer_of

log = logging.getLogger("tinyclip")
RANDOM_SEED = 0


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Args:
        name: by which open_clip knows it, if that is how it was named.
        cfg: its configuration.
        shape: what that describes.
        file: its weights; None for random ones.
        settings: of its preprocess.
        words: the folder in which its tokenizer lies.
    """

    name: str
    cfg: Mapping[str, Any]
    shape: ClipShape
    file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    words: str | None = None


def load_openclip(
    spec: str, where: str, tokenizer: TokenizerLike | str | None = None
) -> Loaded:
    """A model of `NAME` (random weights), `NAME/TAG`, `NAME@PATH`, `PATH`,
    `local-dir:PATH` or `hf-hub:ORG/NAME`.

    Args:
        tokenizer: stands in for the source's own, which may live on a hub: a path
            (what lies there is called as open_clip calls its own), or one that is
            loaded.

    Raises:
        UserError: no such name, tag, file or folder; no network; an unsupported model;
            a configuration beside the weights that is not the name's.
    """
    read = read_spec(spec, where)
    if read.name:
        origin = _named(read, where, tokenizer is not None)
    else:
        origin = _in_folder(read, where)
    label, words = f"openclip:{origin.name or spec}", tokenizer
    if words is None or isinstance(words, str):
        path = words or origin.words
        text = origin.cfg["text_cfg"]
        words = tokenizer_of(origin.name, text, origin.shape, path, where)
    check_tokenizer(words, origin.shape, label)
    if origin.file is not None:
        state = read_tensors(origin.file)
        model = from_openclip(origin.cfg, state, str(origin.file))
    else:
        log.warning("%s names no tag and no file: its weights are random", label)
        model = _random(origin.cfg, origin.shape)
    return Loaded(
        model,
        preprocess_of(origin.settings, origin.shape.image.image_size),
        words,
        {"provenance": {"source": f"openclip:{spec}", **_stated(read, origin)}},
    )


def _stated(read: Spec, origin: Origin) -> dict[str, Any]:
    """What is known of who made a model, and under which licence."""
    told: dict[str, Any] = {"hub": {"teacher": read.hub}} if read.hub else {}
    if origin.file is not None and (licence := licence_beside(origin.file.parent)):
        told["licence"] = licence
    return told


def _named(read: Spec, where: str, words: bool) -> Origin:
    """A model of open_clip's configuration.

    Args:
        words: whether the user gave a tokenizer.
    """
    import open_clip

    cfg = open_clip.get_model_config(read.name)
    # refused before anything is read
    origin = Origin(read.name, cfg, described(cfg, f"openclip:{read.name}"))
    if read.tag:
        file, settings = download(read.name, read.tag, cfg, where)
        return replace(origin, file=file, settings=settings)
    if read.path is None:
        return origin
    file = weights_at(read.path, read.name)
    config = read_folder_config(file.parent)
    if config is not None:
        refuse_other(read.name, cfg, config, file, words)
    if config is None or config.model is None:
        warn_of_gelu(read.name, cfg, file)
    if config is None or config.preprocess is None:
        return replace(origin, file=file, settings=agreed_settings(read.name, file))
    return replace(origin, file=file, settings=config.preprocess)


def _in_folder(read: Spec, where: str) -> Origin:
    """A model of the configuration that lies beside its weights.

    Raises:
        UserError: none lies there.
    """
    path = hub_folder(read.hub, where) if read.path is None else read.path
    file = weights_at(path)
    cfg = config_with_model(path)
    shape = described(cfg, str(file.parent / CONFIG))
    config = read_folder_config(file.parent)
    settings = config.preprocess if config is not None else None
    if settings is None:
        name = name_of(cfg)
        settings = agreed_settings(name, file) if name else {}
    # by the hub's word open_clip takes the tokenizer that the configuration names
    home = str(file.parent) if has_tokenizer(file.parent) and not read.hub else None
    words = home if cfg["text_cfg"].get("hf_tokenizer_name") else None
    return Origin("", cfg, shape, file, settings, words)


def _random(cfg: Mapping[str, Any], shape: ClipShape) -> Clip:
    """Random weights; the scale and bias of the products start as open_clip's do."""
    model = Clip(shape).init_weights(RANDOM_SEED).eval()
    with torch.no_grad():
        model.logit_scale.fill_(cfg.get("init_logit_scale", math.log(1 / 0.07)))
        if model.logit_bias is not None:
            model.logit_bias.fill_(cfg["init_logit_bias"])
    return model
