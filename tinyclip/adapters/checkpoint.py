"""Checkpoints that open_clip knows by name, or that a user brings as a file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, nearest
from ..model.clip import Clip
from ..model.store import Loaded, check_tokenizer, read_weights
from ..model.tokenizer import Tokenizer
from .openclip import from_openclip, preprocess_of, shape_of

log = logging.getLogger("tinyclip")
RANDOM_SEED = 0


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights of a local checkpoint; nothing in it is ever run (law 4).

    Raises:
        UserError: it is missing, damaged, or a pickle that needs code.
    """
    if not path.is_file():
        raise UserError(str(path), "there is no such file")
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the protocol; the message says it all
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged pickle may raise anything
        # torch's own words advise to run the pickle after all: they are not passed on
        raise UserError(
            str(path),
            "is a pickle that needs code to load, which is never done, or is damaged",
            "Where you trust it, save its state dict with safetensors.torch.save_file "
            "and name that file",
        ) from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not found:
        raise UserError(str(path), "holds no state dict")
    if not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(str(path), "holds things that are not tensors")
    return found


def load_openclip(spec: str, where: str) -> Loaded:
    """A model of `NAME` (random weights), `NAME/TAG` or `NAME@FILE`.

    Raises:
        UserError: no such name, tag or file; no network; an unsupported model.
    """
    import open_clip

    name, at, file = spec.partition("@")
    name, _, tag = name.partition("/")
    if name not in open_clip.list_models():
        raise UserError(
            where,
            f"open_clip has no model {name!r}",
            nearest(name, open_clip.list_models()),
        )
    if at and (tag or not file):
        raise UserError(
            where,
            f"openclip:{spec} names {'a tag and a file' if tag else 'no file'}",
            f"Write openclip:{name}/TAG or openclip:{name}@FILE",
        )
    cfg = open_clip.get_model_config(name)
    shape = shape_of(cfg, f"openclip:{name}")  # refused before anything is read
    tokenizer = Tokenizer(None, shape.text.context_length)
    check_tokenizer(tokenizer, shape, f"openclip:{name}")
    settings: Mapping[str, Any] = {}
    if at:
        model = from_openclip(cfg, read_checkpoint(Path(file)), file)
    elif tag:
        model, settings = _pretrained(name, tag, cfg, where)
    else:
        log.warning(
            "openclip:%s names no tag and no file: its weights are random", name
        )
        model = Clip(shape).init_weights(RANDOM_SEED).eval()
    return Loaded(
        model,
        preprocess_of(settings, shape.image.image_size),
        tokenizer,
        {"provenance": {"source": f"openclip:{spec}"}},
    )


def _pretrained(
    name: str, tag: str, cfg: Mapping[str, Any], where: str
) -> tuple[Clip, dict[str, Any]]:
    """The published weights behind a tag, and their preprocess settings.

    Raises:
        UserError: there is no such tag, or its weights cannot be downloaded.
    """
    import open_clip
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    found = get_pretrained_cfg(name, tag)
    if not found:
        tags = open_clip.list_pretrained_tags_by_model(name)
        known = f"{nearest(tag, tags)}" if tags else "It has none"
        raise UserError(where, f"{name} has no weights {tag!r}", known)
    if bool(found.get("quick_gelu")) != bool(cfg.get("quick_gelu")):
        other = f"{name}-quickgelu" if found.get("quick_gelu") else "its plain namesake"
        log.warning(
            "openclip:%s/%s: these weights were trained with another GELU than %s has; "
            "you probably want %s",
            name,
            tag,
            name,
            other,
        )
    try:
        path = Path(download_pretrained(found))
    except Exception as error:  # whatever the network library raises
        raise UserError(
            where,
            f"the weights of {name}/{tag} cannot be downloaded "
            f"({type(error).__name__}: {str(error)[:200]})",
            f"Without a network, name a local file: openclip:{name}@FILE",
        ) from None
    keys = ("mean", "std", "interpolation", "resize_mode")
    settings = {key: found[key] for key in keys if key in found}
    return from_openclip(cfg, read_checkpoint(path), str(path)), settings
