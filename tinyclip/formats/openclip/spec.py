"""The words behind `openclip:`: a name, a tag, a file, a folder, an id of the hub."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError, nearest
from ...files import expanded
from ...model.weights import shown

# open_clip's own words for a folder and for the hub
LOCAL_DIR, HF_HUB = "local-dir:", "hf-hub:"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Spec:
    """What the words name; what they do not name is empty or None.

    Args:
        name: one of open_clip's. Without it a configuration beside the weights says
            what they are of.
        tag: of weights that open_clip has published.
        path: a file of weights, or the folder that holds it; there is one.
        hub: an id of the Hugging Face hub.
    """

    name: str = ""
    tag: str = ""
    path: Path | None = None
    hub: str = ""


def read_spec(spec: str, where: str) -> Spec:
    """`NAME`, `NAME/TAG`, `NAME@PATH`, `PATH`, `local-dir:PATH` or `hf-hub:ORG/NAME`.

    A name that open_clip knows is one, whatever lies in a folder of that name. Whether
    there is anything at a path is not asked.

    Raises:
        UserError: open_clip has no such name, or there is a tag beside a path.
    """
    if spec.startswith(HF_HUB):
        return Spec(hub=_hub_id(spec, where))
    if spec.startswith(LOCAL_DIR):
        folder = spec.removeprefix(LOCAL_DIR)
        if not folder:
            raise UserError(where, "names no folder", f"Write openclip:{LOCAL_DIR}DIR")
        return Spec(path=expanded(folder))
    name, at, path = spec.partition("@")
    name, _, tag = name.partition("/")
    if name in _models():
        return _named(name, tag, path if at else None, spec, where)
    place = expanded(spec)
    if spec and (place.exists() or place.is_symlink()):
        return Spec(path=place)
    raise _unknown(spec, where)


def _named(name: str, tag: str, path: str | None, spec: str, where: str) -> Spec:
    if path is None:
        if tag and expanded(tag).exists() and "/" in tag:
            what = f"openclip:{spec} names a path where a tag belongs"
            raise UserError(where, what, f"Write openclip:{name}@{tag}")
        if not tag and "/" in spec:
            raise UserError(where, f"openclip:{spec} names no tag", _tags(name))
        return Spec(name, tag)
    if tag or not path:
        raise UserError(
            where,
            f"openclip:{spec} names {'a tag and a file' if tag else 'no file'}",
            f"Write openclip:{name}/TAG or openclip:{name}@FILE",
        )
    return Spec(name, path=expanded(path))


def _tags(name: str) -> str:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    return f"{name} has {shown(tags)}" if tags else f"{name} has none"


def _models() -> list[str]:
    import open_clip

    models: list[str] = open_clip.list_models()
    return models


def _hub_id(spec: str, where: str) -> str:
    identity = spec.removeprefix(HF_HUB)
    if not HUB_ID.fullmatch(identity):
        raise UserError(
            where,
            f"{identity!r} is no id of the Hugging Face hub",
            f"Write openclip:{HF_HUB}ORG/NAME",
        )
    return identity


def _unknown(spec: str, where: str) -> UserError:
    """What to say of words that are no name, and no path either."""
    if spec.startswith(("/", "./", "../", "~")):
        return UserError(where, f"there is no {spec}")
    name, _, rest = spec.partition("@")
    name = name if rest else spec
    todo = _similar_names(name.partition("/")[0])
    if HUB_ID.fullmatch(spec) and not todo.startswith("Did"):
        todo = f"For an id of the Hugging Face hub, write openclip:{HF_HUB}{spec}"
    return UserError(where, f"open_clip has no model {name.partition('/')[0]!r}", todo)


def _similar_names(name: str) -> str:
    """Names that a user may have meant, whatever their capitals."""
    by_lower = {model.lower(): model for model in _models()}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if not close:
        return nearest(name, by_lower.values())
    return f"Did you mean {' or '.join(repr(by_lower[match]) for match in close)}?"
