"""ImageNet's names and sentences, as open_clip's package has them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from ..errors import UserError, nearest

SCHEME = "openclip:"
NAMES = "imagenet"
TEMPLATES = {
    "imagenet": "OPENAI_IMAGENET_TEMPLATES",  # the 80 of CLIP's authors
    "imagenet-simple": "SIMPLE_IMAGENET_TEMPLATES",  # 7 of these
}


def imagenet_names(named: str, keys: Sequence[str], where: str) -> dict[str, str]:
    """What each of ImageNet-1k's classes is called, by its key in a source.

    Args:
        named: `openclip:imagenet`.
        keys: WordNet ids (`n01440764`), all or some; numbers from 0 to 999; or 1,000
            keys of another kind, in ImageNet's order.

    Raises:
        UserError: there is no such list, or a key is none of these.
    """
    rest = named.removeprefix(SCHEME)
    if rest != NAMES:
        what = f"open_clip has no class names {rest!r}"
        raise UserError(where, what, f"Write {SCHEME}{NAMES}, or a file")
    names = list(import_module("open_clip").IMAGENET_CLASSNAMES)
    # timm has the WordNet ids in the order of the class numbers; open_clip brings it
    ids = import_module("timm.data").ImageNetInfo("imagenet-1k").label_names()
    by_id = dict(zip(ids, names, strict=True))
    if all(key in by_id for key in keys):
        return {key: by_id[key] for key in keys}
    if all(key.isascii() and key.isdecimal() and int(key) < len(names) for key in keys):
        return {key: names[int(key)] for key in keys}
    if len(keys) == len(names):
        return dict(zip(keys, names, strict=True))
    wrong = next(key for key in keys if key not in by_id)
    raise UserError(
        where,
        f"{named} knows ImageNet's WordNet ids and numbers, and {wrong[:40]!r} is none",
        "Name the classes in a file",
    )


def imagenet_templates(named: str, where: str) -> tuple[str, ...]:
    """The sentences behind a name, with ``{}`` for the class.

    Raises:
        UserError: there are none of that name.
    """
    rest = named.removeprefix(SCHEME)
    if rest not in TEMPLATES:
        what = f"open_clip has no templates {rest!r}"
        raise UserError(where, what, nearest(rest, TEMPLATES))
    made = getattr(import_module("open_clip"), TEMPLATES[rest])
    return tuple(template("{}") for template in made)
