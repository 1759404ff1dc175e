"""`json:FILE`: pictures, each with a true caption and a false one.

As ARO's relation and attribution files have it (Yuksekgonul et al. 2023), or
SugarCrepe's (Hsieh et al. 2023); more keys do not matter:

[{"image_path": "1.jpg", "true_caption": ..., "false_caption": ...,
  "bbox_x": 0, "bbox_y": 0, "bbox_w": 9, "bbox_h": 9}, ...]
{"0": {"filename": "1.jpg", "caption": ..., "negative_caption": ...}, ...}

Either container may hold either kind. A box says what of the picture is looked at.
Paths are relative to the file, or to `data.image_root`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bounded import open_regular
from ..config.schema import Data
from ..errors import UserError
from ..typed import Maybe, misfit
from .broken import Broken, Dropped, check_caption
from .columns import excluder, tidy_path
from .crops import Box, Crops
from .files import FilePairs
from .json_files import file_of, root_of, value_of
from .pictures import parse_background
from .task import ChoiceTask

LOOKED_AT = 2**16  # bytes that tell what form it has
# a list, or a table whose first value is a table
_START = re.compile(rb'\s*(?:\[|\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{)')
BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
FORM = (
    '[{"image_path": ..., "true_caption": ..., "false_caption": ...}] or '
    '{"0": {"filename": ..., "caption": ..., "negative_caption": ...}}'
)


@dataclass(frozen=True)
class Keys:
    """What an entry calls its picture, the true caption and the false one."""

    picture: str
    true: str
    false: str

    @property
    def kind(self) -> dict[str, Any]:
        names = (self.picture, self.true, self.false)
        return {**dict.fromkeys(names, str), **dict.fromkeys(BOX, Maybe(float))}


KEYS = (
    Keys("image_path", "true_caption", "false_caption"),
    Keys("filename", "caption", "negative_caption"),
)
Seen = tuple[str, Box | None]  # the path of a picture, and what of it is looked at


def is_foils(data: Data) -> bool:
    """Whether a source is of this form; False where it cannot be read."""
    path = file_of(data)
    if path is None:
        return False
    try:
        with open_regular(path) as file:
            return _START.match(file.read(LOOKED_AT)) is not None
    except (OSError, ValueError):
        return False


def refuse_training(data: Data) -> None:
    """Refuse it as pairs.

    Raises:
        UserError: always.
    """
    raise UserError(
        data.source,
        "has a false caption for every true one: it is to measure on, not to train on",
        "Give it to `tinyclip evaluate --data`, and other pairs here",
    )


def foils(data: Data) -> ChoiceTask:
    """The true caption of each entry against its false one.

    Entries of one picture are drawn together. An entry with an empty caption, or with
    two that differ in case and space at most, is left out and counted as broken.

    Raises:
        UserError: the file cannot be read or is of another form, or too many of its
            entries or pictures cannot be used.
    """
    path = file_of(data)
    assert path is not None
    dropped = Dropped()
    files: dict[str, list[str]] = {}  # a picture's path: what is true of it
    rows: dict[Seen, int] = {}
    items: list[tuple[int, tuple[str, str]]] = []
    for seen, texts in _usable(data, path, dropped):
        files.setdefault(seen[0], []).append(texts[0])
        items.append((rows.setdefault(seen, len(rows)), texts))
    dropped.check(data.source, len(items), data.max_broken_share)
    pictures = FilePairs(
        name=data.source,
        root=root_of(data, path),
        keys=tuple(files),
        texts=tuple(tuple(dict.fromkeys(texts)) for texts in files.values()),
        background=parse_background(data.background),
        dropped=dropped,
    )
    pictures.check_present(data.max_broken_share)
    places = {key: place for place, key in enumerate(files)}
    parts = tuple((places[key], box) for key, box in rows)
    return ChoiceTask(
        "choice",
        Crops(pictures, parts),
        tuple(row for row, _ in items),
        tuple(texts for _, texts in items),
        ("",) * len(items),
        tuple(place for place, _ in parts),
    )


def _usable(
    data: Data, path: Path, dropped: Dropped
) -> Iterator[tuple[Seen, tuple[str, str]]]:
    """What each entry looks at, and its two captions."""
    pattern = excluder(data.exclude)
    for name, entry, keys in _entries(path, data.source):
        key = tidy_path(entry[keys.picture])
        if pattern is not None and pattern.match(key):
            dropped.add("excluded")
            continue
        try:
            texts = _captions(entry[keys.true], entry[keys.false])
            box = _box(entry)
        except Broken as broken:
            dropped.add(broken.kind, f"{name} ({key})", broken.detail)
            continue
        yield (key, box), texts


def _captions(true: str, false: str) -> tuple[str, str]:
    texts = check_caption(true), check_caption(false)
    one, other = (" ".join(text.lower().split()) for text in texts)
    if one == other:
        raise Broken("bad row", "the true and the false caption are the same")
    return texts


def _box(entry: Mapping[str, Any]) -> Box | None:
    """What of a picture is looked at; None: all of it."""
    given = {name: entry[name] for name in BOX if entry.get(name) is not None}
    if not given:
        return None
    if missing := [name for name in BOX if name not in given]:
        raise Broken("bad row", f"{missing[0]} is missing, and others are there")
    x, y, width, height = (float(given[name]) for name in BOX)
    if width <= 0 or height <= 0:
        raise Broken("bad row", f"a box of {width:g} x {height:g} pixels")
    return x, y, width, height


def _entries(path: Path, where: str) -> Iterator[tuple[str, dict[str, Any], Keys]]:
    """The name of each entry, what it says, and what its fields are called.

    Raises:
        UserError: the file is of another form; the first such entry is named.
    """
    value = value_of(path, where)
    named = value.items() if isinstance(value, dict) else enumerate(value)
    entries = {f"[{name}]": entry for name, entry in named}
    if not entries:
        raise UserError(where, "has no entries", f"Write {FORM}")
    first = next(iter(entries.values()))
    has = first.keys() if isinstance(first, dict) else ()
    keys = max(KEYS, key=lambda keys: len(keys.kind.keys() & has))
    for name, entry in entries.items():
        if wrong := misfit(entry, keys.kind, name):
            raise UserError(where, f"is of another form ({wrong})", f"Write {FORM}")
    return ((name, entry, keys) for name, entry in entries.items())
