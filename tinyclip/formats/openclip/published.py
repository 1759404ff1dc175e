"""Weights that open_clip has published, and how they want their pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError, nearest
from ...files import read_json
from ...hub import from_hub
from .model import preprocess_of

log = logging.getLogger("tinyclip")
KEYS = ("mean", "std", "interpolation", "resize_mode")
CONFIG = "open_clip_config.json"


def download(
    name: str, tag: str, cfg: Mapping[str, Any], where: str
) -> tuple[Path, dict[str, Any]]:
    """The file of the weights behind a tag, and their preprocess settings.

    Raises:
        UserError: there is no such tag, or its weights cannot be downloaded.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

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
    return _file(name, tag, found, where), _settings(found)


def _file(name: str, tag: str, found: Mapping[str, Any], where: str) -> Path:
    from open_clip.pretrained import download_pretrained

    what = f"the weights of {name}/{tag}"
    todo = f"Without a network, name a local file: openclip:{name}@FILE"
    if found.get("hf_hub") and "file" not in found:

        def fetch(cached: bool) -> Path:
            path = _cached(found["hf_hub"]) if cached else download_pretrained(found)
            return Path(path)

        return from_hub(fetch, where, what, todo)
    try:
        return Path(download_pretrained(found))
    except Exception as error:  # whatever the network library raises
        raise UserError(
            where,
            f"{what} cannot be downloaded ({type(error).__name__}: {str(error)[:200]})",
            todo,
        ) from None


def _cached(address: str) -> str:
    """The file of a hub that an earlier download left.

    Args:
        address: as open_clip writes it: the repository, a slash, and a file or nothing.

    Raises:
        FileNotFoundError: there is none.
    """
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    folder, _, file = address.rpartition("/")
    file = file or HF_WEIGHTS_NAME
    safe = HF_SAFE_WEIGHTS_NAME if file == HF_WEIGHTS_NAME else ""
    for one in (safe, str(Path(file).with_suffix(".safetensors")), file):
        path = try_to_load_from_cache(folder, one) if one else None
        if isinstance(path, str):
            return path
    raise FileNotFoundError(address)


def _settings(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in KEYS if found.get(key) is not None}


def published_settings(name: str, file: Path) -> dict[str, Any]:
    """How the weights of a local file want their pictures.

    What lies beside the file says so, as it does in every folder of open_clip's on a
    hub. Else it is what all published weights of this model agree upon: a file is
    most often one of them. Else it is open_clip's default.

    Raises:
        UserError: the configuration beside the file is damaged.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    beside = file.parent / CONFIG
    if beside.is_file():
        return _read(beside)
    tags = open_clip.list_pretrained_tags_by_model(name)
    known = [_settings(get_pretrained_cfg(name, tag)) for tag in tags]
    if not known or any(one != known[0] for one in known):
        return {}
    if preprocess_of(known[0], 1) != preprocess_of({}, 1):
        log.warning(
            "%s: its pictures are prepared as all published weights of %s want them "
            "(%s); given a file, open_clip itself would take its default",
            file,
            name,
            ", ".join(f"{key} {value}" for key, value in known[0].items()),
        )
    return known[0]


def _read(path: Path) -> dict[str, Any]:
    """The preprocess settings of an open_clip configuration file.

    Raises:
        UserError: it is damaged.
    """
    config = read_json(path)
    try:
        settings = _settings(config.get("preprocess_cfg") or {})
        preprocess_of(settings, 1)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            str(path), f"has no usable preprocess_cfg ({error})", "Mend or remove it"
        ) from None
    return settings
