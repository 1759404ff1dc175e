"""Pairs whose pictures are files: what a CSV or a folder becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image

from .broken import Broken, too_many_broken
from .pictures import LARGEST, RGB, read_picture

LOOKED_AT = 20_000  # files that are looked for when a source is opened
HASHED = 2_000  # files whose bytes enter the fingerprint


@dataclass(frozen=True, eq=False)
class FilePairs:
    """Pictures in files, each with its captions.

    Args:
        name: the source, as the user wrote it.
        root: what relative keys are relative to.
        keys: the path of each picture, distinct.
        texts: the captions of each picture, at least one.
        background: what transparency is laid on.
        dropped: how many rows were left out, by reason.
        labels: the class of each picture where folders or a column name classes, else
            None.
        label_sets: the classes of each picture where some have several, else None.
        empty: classes that have no picture.
    """

    name: str
    root: Path
    keys: Sequence[str]
    texts: Sequence[tuple[str, ...]]
    background: RGB
    dropped: Mapping[str, int] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    label_sets: Sequence[tuple[str, ...]] | None = None
    empty: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, i: int) -> str:
        return self.keys[i]

    def path(self, i: int) -> Path:
        """The file of row `i`."""
        return self.root / self.keys[i]

    def place(self, i: int) -> str:
        """Where the picture of row `i` lies, whichever source it was found by."""
        return str(self.path(i).absolute())

    def captions(self, i: int) -> tuple[str, ...]:
        return self.texts[i]

    def image(self, i: int) -> Image.Image:
        """The picture of row `i`, RGB; raises `Broken`."""
        return read_picture(self.path(i), self.background)

    def fingerprint(self) -> str:
        """Changes with any key or caption, with the size of one of the first
        `LOOKED_AT` evenly spaced files, or with a byte of `HASHED` of them.

        No times of change: a copied data set is the same data set.
        """
        digest = blake2b(digest_size=16)
        for key, texts in zip(self.keys, self.texts, strict=True):
            digest.update("\x1f".join((key, *texts, "\x1e")).encode("utf-8", "replace"))
        for i in evenly(len(self), LOOKED_AT):
            digest.update(f"{_size(self.path(i))},".encode())
        for i in evenly(len(self), HASHED):
            path = self.path(i)
            if 0 <= _size(path) <= LARGEST:
                digest.update(path.read_bytes())
        digest.update(repr(self.background).encode())
        return digest.hexdigest()

    def check_present(self, max_broken_share: float) -> None:
        """Find out now, not after the teacher was loaded, that pictures are missing.

        Raises:
            UserError: of the files looked at, more than that share is missing.
        """
        looked = evenly(len(self), LOOKED_AT)
        broken: dict[str, tuple[str, str]] = {}
        for i in looked:
            if _size(self.path(i)) < 0:
                broken[self.keys[i]] = _why_missing(self.path(i))
        if len(broken) > max_broken_share * len(looked):
            raise too_many_broken(self.name, broken, len(looked), max_broken_share)


def evenly(count: int, most: int) -> list[int]:
    """All of 0..count-1, or `most` of them at even distances."""
    if count <= most:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, most).astype(np.int64)]


def _size(path: Path) -> int:
    """Bytes of a file, -1 for one that is not there."""
    try:
        return path.stat().st_size if path.is_file() else -1
    except (OSError, ValueError):
        return -1


def _why_missing(path: Path) -> tuple[str, str]:
    try:
        read_picture(path, (255, 255, 255))
    except Broken as broken:
        return broken.kind, broken.detail
    return "missing", "there is no such file"
