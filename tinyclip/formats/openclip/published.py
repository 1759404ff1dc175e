"""Weights that open_clip has published, and how they want their pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError, nearest
from ...hub import from_hub
from .folder import settings_of
from .model import preprocess_of

log = logging.getLogger("tinyclip")


def download(
    name: str, tag: str, cfg: Mapping[str, Any], where: str
) -> tuple[Path, dict[str, Any]]:
    """The file of the weights behind a tag, and their preprocess settings.

    Raises:
        UserError: there is no such tag, or its weights cannot be downloaded.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    entry = get_pretrained_cfg(name, tag)
    if not entry:
        tags = open_clip.list_pretrained_tags_by_model(name)
        todo = f"{nearest(tag, tags)}" if tags else "It has none"
        raise UserError(where, f"{name} has no weights {tag!r}", todo)
    _check_gelu(name, tag, bool(entry.get("quick_gelu")), cfg)
    return _fetched(name, tag, entry, where), settings_of(entry)


def _check_gelu(name: str, tag: str, quick: bool, cfg: Mapping[str, Any]) -> None:
    """Refuse a tag whose weights were trained with another GELU than its name has.

    open_clip itself warns, and makes features that are a little off.

    Args:
        quick: whether the weights were trained with quick-GELU.

    Raises:
        UserError: they were, and the name has another; or the other way round.
    """
    import open_clip

    if quick == bool(cfg.get("quick_gelu")):
        return
    other = f"{name}-quickgelu" if quick else name.removesuffix("-quickgelu")
    exists = other in open_clip.list_models() and other != name
    raise UserError(
        f"openclip:{name}/{tag}",
        f"these weights were trained with {'quick-' if quick else 'the exact '}GELU, "
        f"and {name} has another",
        f"Write openclip:{other}/{tag}" if exists else f"Is there a {other}?",
    )


def _fetched(name: str, tag: str, entry: Mapping[str, Any], where: str) -> Path:
    from open_clip.pretrained import download_pretrained

    what = f"the weights of {name}/{tag}"
    todo = f"Without a network, name a local file: openclip:{name}@FILE"
    if entry.get("hf_hub") and "file" not in entry:

        def fetch(cached: bool) -> Path:
            path = _cached(entry["hf_hub"]) if cached else download_pretrained(entry)
            return Path(path)

        return from_hub(fetch, where, what, todo)
    try:
        return Path(download_pretrained(entry))
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
    for name in (safe, str(Path(file).with_suffix(".safetensors")), file):
        path = try_to_load_from_cache(folder, name) if name else None
        if isinstance(path, str):
            return path
    raise FileNotFoundError(address)


def warn_of_gelu(name: str, cfg: Mapping[str, Any], file: Path) -> None:
    """Say that a name hardly fits a file: all published weights have another GELU."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    tags = open_clip.list_pretrained_tags_by_model(name)
    quick = {bool(get_pretrained_cfg(name, tag).get("quick_gelu")) for tag in tags}
    if quick == {True} and not cfg.get("quick_gelu"):
        log.warning(
            "%s: all published weights of %s were trained with quick-GELU, which that "
            "name has not. If these are some of them, write openclip:%s-quickgelu@%s",
            file,
            name,
            name,
            file,
        )


def agreed_settings(name: str, file: Path) -> dict[str, Any]:
    """How the weights of a file want their pictures, where nothing beside it says so.

    That is what all published weights of this model agree upon: a file is most often
    one of them. Else it is open_clip's default.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    tags = open_clip.list_pretrained_tags_by_model(name)
    published = [settings_of(get_pretrained_cfg(name, tag)) for tag in tags]
    if not published or any(settings != published[0] for settings in published):
        return {}
    if preprocess_of(published[0], 1) != preprocess_of({}, 1):
        log.warning(
            "%s: its pictures are prepared as all published weights of %s want them "
            "(%s); given a file, open_clip itself would take its default",
            file,
            name,
            ", ".join(f"{key} {value}" for key, value in published[0].items()),
        )
    return published[0]
