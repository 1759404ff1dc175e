"""`folder:DIR`: pictures with captions beside them, or in folders named by class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..config.schema import Data
from ..errors import UserError
from .broken import Broken, Dropped, check_caption, decode_caption
from .columns import excluder
from .files import FilePairs
from .pictures import SUFFIXES, parse_background

CLASS_TEMPLATES = ("a photo of a {}", "{}", "a picture of a {}")


def open_folder(data: Data, directory: str) -> FilePairs:
    """The pairs of a folder.

    With a ``.txt`` of the same name beside any picture, captions are read from there,
    one a line. Otherwise the folders right under it are classes, as torchvision's
    ImageFolder has them, and captions are made of their names by `CLASS_TEMPLATES`.

    Raises:
        UserError: no such folder, no pictures, neither captions nor classes.
    """
    root = Path(directory).expanduser()
    where = data.source
    pictures = _listed(root, where)
    captioned = any((root / key).with_suffix(".txt").is_file() for key in pictures)
    if not captioned and not any("/" in key for key in pictures):
        raise UserError(
            where,
            f"{len(pictures)} pictures with neither captions nor class folders",
            "Put a NAME.txt beside each NAME.png, or the pictures of each class in a "
            "folder with the name of the class",
        )
    found: dict[str, tuple[str, ...]] = {}
    dropped = Dropped()
    pattern = excluder(data.exclude)
    for key in pictures:
        if pattern is not None and pattern.match(key):
            dropped.add("excluded")
            continue
        try:
            found[key] = _captions(root / key) if captioned else _class_captions(key)
        except Broken as broken:
            dropped.add(broken.kind, key, broken.detail)
    dropped.check(where, len(found), data.max_broken_share)
    labels = None if captioned else _classes(where, found)
    return FilePairs(
        name=where,
        root=root,
        keys=tuple(found),
        texts=tuple(found.values()),
        background=parse_background(data.background),
        dropped=dropped,
        labels=labels,
    )


def _classes(where: str, keys: Iterable[str]) -> tuple[str, ...]:
    """The class of each key; one class alone teaches nothing and is refused."""
    labels = tuple(class_name(key) for key in keys)
    if len(set(labels)) == 1:
        raise UserError(
            where, f"a single class, {labels[0]!r}", "Give two class folders or more"
        )
    return labels


def _listed(root: Path, where: str) -> list[str]:
    """The keys of a folder's pictures, in order."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "there is no such folder"
        raise UserError(where, what, "Give a folder of pictures")
    pictures = sorted(_pictures(root))
    if not pictures:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(where, "no pictures in it", f"Looked for {kinds}")
    return pictures


def class_name(key: str) -> str:
    """The class that the first folder of a key names: ``polar_bear/1.png``."""
    return " ".join(key.split("/")[0].replace("_", " ").split())


def _pictures(root: Path) -> Iterator[str]:
    """Keys of all picture files below a folder, but no hidden ones."""
    for here, folders, names in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield (Path(here) / name).relative_to(root).as_posix()


def _captions(picture: Path) -> tuple[str, ...]:
    """The distinct lines of the text beside a picture; raises `Broken`."""
    path = picture.with_suffix(".txt")
    try:
        text = decode_caption(path.read_bytes())
    except FileNotFoundError:
        raise Broken("no caption", f"there is no {path.name} beside it") from None
    except OSError as error:
        raise Broken("no caption", f"{path.name}: {error.strerror}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise Broken("empty caption", f"nothing in {path.name}")
    return tuple(dict.fromkeys(check_caption(line) for line in lines))


def _class_captions(key: str) -> tuple[str, ...]:
    if "/" not in key:
        raise Broken("no caption", "it lies in no class folder")
    return tuple(template.format(class_name(key)) for template in CLASS_TEMPLATES)
