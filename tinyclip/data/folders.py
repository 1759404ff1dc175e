"""`folder:DIR`: pictures with captions beside them, or in folders named by class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..bounded import read_bytes
from ..config.schema import Data
from ..errors import UserError
from .broken import CAPTIONS_LIMIT, Broken, Dropped, check_caption, decode_caption
from .classes import class_captions, class_names
from .columns import excluder
from .elsewhere import TEXTS, refuse_captions_elsewhere
from .files import FilePairs
from .notes import number_of
from .pictures import SUFFIXES, UNREAD_SUFFIXES, parse_background
from .protocol import BARE


def open_folder(data: Data, directory: str) -> FilePairs:
    """The pairs of a folder.

    With a ``.txt`` of the same name beside any picture, captions are read from there,
    one a line. Otherwise the folders right under it are classes, as torchvision's
    ImageFolder has them, and captions are made of their names (`classes`). Where none
    are asked for (`Data.captioned`), every picture below the folder is taken.

    Raises:
        UserError: no such folder, no pictures, neither captions nor classes, or
            captions where they are not looked for.
    """
    root = Path(directory).expanduser()
    where = data.source
    dropped = Dropped()
    pictures, texts, empty = _wanted(data, root, dropped)
    background = parse_background(data.background)
    if not data.captioned:
        dropped.check(where, len(pictures), data.max_broken_share)
        bare = [(BARE,)] * len(pictures)
        return FilePairs(where, root, pictures, bare, background, dropped)
    captioned = any((root / key).with_suffix(".txt").is_file() for key in pictures)
    names = {} if captioned else _classes(data, root, pictures, texts)
    captions = {}
    for key in pictures:
        try:
            captions[key] = (
                _captions(root / key) if captioned else _of_class(key, names)
            )
        except Broken as broken:
            dropped.add(broken.kind, key, broken.detail)
    dropped.check(where, len(captions), data.max_broken_share)
    return FilePairs(
        name=where,
        root=root,
        keys=tuple(captions),
        texts=tuple(captions.values()),
        background=background,
        dropped=dropped,
        labels=None if captioned else tuple(names[_folder(key)] for key in captions),
        empty=() if captioned else empty,
    )


def _wanted(
    data: Data, root: Path, dropped: Dropped
) -> tuple[list[str], list[str], tuple[str, ...]]:
    """The keys of pictures and of texts that are not excluded, and empty folders."""
    pictures, texts, others = _listed(root, data.source)
    empty = _empty(root, [*pictures, *others])
    if (pattern := excluder(data.exclude)) is not None:
        kept = [key for key in pictures if not pattern.match(key)]
        dropped.add("excluded", count=len(pictures) - len(kept))
        pictures = kept
        texts = [key for key in texts if not pattern.match(key)]
        others = [key for key in others if not pattern.match(key)]
    for key in others:
        dropped.add("not a picture", key, "this format is not read here")
    return pictures, texts, empty


def _classes(
    data: Data, root: Path, pictures: Sequence[str], texts: Sequence[str]
) -> dict[str, str]:
    """What each folder that is a class is called.

    Raises:
        UserError: there are none, or a single one, which teaches nothing; or the
            captions are elsewhere.
    """
    where = data.source
    if data.class_names is None:
        refuse_captions_elsewhere(where, root, pictures, texts)
    folders = sorted({_folder(key) for key in pictures if "/" in key})
    if pictures and not folders:
        raise UserError(
            where,
            f"{number_of(len(pictures), 'picture', 'pictures')} with neither captions "
            "nor class folders",
            "Put a NAME.txt beside each NAME.png, or the pictures of each class in a "
            "folder with the name of the class",
        )
    names = class_names(data, folders, _advice(root, pictures)) if folders else {}
    if len(set(names.values())) == 1:
        raise UserError(
            where,
            f"a single class, {names[folders[0]]!r}",
            "Give two class folders or more",
        )
    return names


def _advice(root: Path, pictures: Sequence[str]) -> str:
    """What to write where the folders are no classes, but may hold them."""
    deep = next((key for key in pictures if key.count("/") > 1), None)
    if deep is not None:
        return f"Name the folder that holds the classes: folder:{root / _folder(deep)}"
    return "Put a NAME.txt beside each NAME.png, or name folders by class"


def _listed(root: Path, where: str) -> tuple[list[str], list[str], list[str]]:
    """The keys of a folder's pictures, of texts, and of pictures of other formats."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "there is no such folder"
        raise UserError(where, what, "Give a folder of pictures")
    pictures: list[str] = []
    texts: list[str] = []
    others: list[str] = []
    for key in _files(root):
        suffix = Path(key).suffix.lower()
        if suffix in SUFFIXES:
            pictures.append(key)
        elif suffix in TEXTS:
            texts.append(key)
        elif suffix in UNREAD_SUFFIXES:
            others.append(key)
    if not pictures:
        raise UserError(
            where, "no pictures in it", f"Looked for {', '.join(sorted(SUFFIXES))}"
        )
    return sorted(pictures), sorted(texts), sorted(others)


def _empty(root: Path, pictures: Sequence[str]) -> tuple[str, ...]:
    """The folders right under the root without a picture."""
    full = {_folder(key) for key in pictures if "/" in key}
    named = (entry.name for entry in root.iterdir() if entry.is_dir())
    return tuple(
        sorted(name for name in named if name not in full and not name.startswith("."))
    )


def _folder(key: str) -> str:
    """The first folder of a key: ``polar_bear`` of ``polar_bear/1.png``."""
    return key.split("/")[0]


def _files(root: Path) -> Iterator[str]:
    """Keys of all files below a folder, but no hidden ones."""
    for directory, folders, names in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield (Path(directory) / name).relative_to(root).as_posix()


def _captions(picture: Path) -> tuple[str, ...]:
    """The distinct lines of the text beside a picture; raises `Broken`."""
    path = picture.with_suffix(".txt")
    try:
        text = decode_caption(read_bytes(path, CAPTIONS_LIMIT))
    except FileNotFoundError:
        raise Broken("no caption", f"there is no {path.name} beside it") from None
    except OSError as error:
        raise Broken("no caption", f"{path.name}: {error.strerror}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise Broken("empty caption", f"nothing in {path.name}")
    return tuple(dict.fromkeys(check_caption(line) for line in lines))


def _of_class(key: str, names: Mapping[str, str]) -> tuple[str, ...]:
    if "/" not in key:
        raise Broken("no caption", "it lies in no class folder")
    return class_captions(names[_folder(key)])
