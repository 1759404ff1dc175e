"""Pairs whose pictures are bytes in rows of a table: parquet files and data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .broken import Broken, Dropped, check_caption
from .columns import Column, excluder
from .files import HASHED, evenly
from .pictures import RGB, decode_picture
from .seeds import Blocks

HELD_TEXTS = 50_000  # rows of which captions are Python's strings at once


class Rows(Protocol):
    """Where pictures lie, by row of the table."""

    def key(self, row: int) -> str: ...

    def place(self, row: int) -> str:
        """The same for the same picture, whichever source names it."""

    def read(self, row: int) -> bytes:
        """The bytes of a picture; raises `Broken`."""

    def blocks(self) -> tuple[NDArray[np.int64], int] | None:
        """The block of each row and how many are held at once; None: none are large."""


class RowPairs:
    """The rows of a table that have captions.

    Args:
        name: the source, as the user wrote it.
        source: where the pictures are.
        kept: the rows of the table that are pairs.
        texts: the captions of each of these.
        background: what transparency is laid on.
        dropped: how many rows were left out.
        labels: the class of each pair, where there are classes.
        label_sets: the classes of each, where some have several.
    """

    def __init__(
        self,
        name: str,
        source: Rows,
        kept: NDArray[np.int64],
        texts: Sequence[tuple[str, ...]],
        background: RGB,
        dropped: Dropped,
        labels: Sequence[str] | None = None,
        label_sets: Sequence[tuple[str, ...]] | None = None,
    ) -> None:
        self.name, self.source, self.dropped = name, source, dropped
        self.background, self.labels = background, labels
        self.label_sets = label_sets
        self._kept, self._texts = kept, texts
        blocks = source.blocks()
        self.blocks = None if blocks is None else Blocks(blocks[0][kept], blocks[1])

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, i: int) -> str:
        return self.source.key(int(self._kept[i]))

    def place(self, i: int) -> str:
        return self.source.place(int(self._kept[i]))

    def captions(self, i: int) -> tuple[str, ...]:
        return tuple(self._texts[i])

    def image(self, i: int) -> Image.Image:
        """The picture of row `i`, RGB; raises `Broken`."""
        return decode_picture(self.source.read(int(self._kept[i])), self.background)

    def fingerprint(self) -> str:
        """Of every key and caption and the bytes of `HASHED` pictures."""
        digest = blake2b(digest_size=16)
        for i, texts in enumerate(self._texts):
            digest.update("\x1f".join((self.key(i), *texts, "\x1e")).encode())
        for i in evenly(len(self), HASHED):
            try:
                digest.update(self.source.read(int(self._kept[i])))
            except Broken as broken:
                digest.update(broken.kind.encode())
        digest.update(repr(self.background).encode())
        return digest.hexdigest()


def picture_bytes(content: Any) -> bytes:
    """What a cell of pictures holds; raises `Broken` where that is no bytes."""
    if content is None:
        raise Broken("no picture", "null")
    if not isinstance(content, bytes):  # of a number, bytes() would be as many zeros
        raise Broken("no picture", f"{type(content).__name__} instead of bytes")
    return content


def usable(
    cells: Iterable[Any],
    key: Callable[[int], str],
    exclude: Iterable[str],
    dropped: Dropped,
) -> tuple[NDArray[np.int64], Column]:
    """Rows whose cell holds captions, and these captions; the others are counted.

    Args:
        cells: of each row: a text, a list of texts, or None.
        key: of a row.
    """
    import pyarrow as pa

    pattern = excluder(exclude)
    kept: list[int] = []
    texts: list[list[str]] = []
    chunks = []
    for row, cell in enumerate(cells):
        if pattern is not None and pattern.match(key(row)):
            dropped.add("excluded")
            continue
        try:
            texts.append(_captions(cell))
        except Broken as broken:
            dropped.add(broken.kind, key(row), broken.detail)
            continue
        kept.append(row)
        if len(texts) == HELD_TEXTS:
            chunks.append(pa.array(texts, pa.list_(pa.string())))
            texts = []
    chunks.append(pa.array(texts, pa.list_(pa.string())))
    return np.asarray(kept, dtype=np.int64), Column(pa.chunked_array(chunks))


def _captions(cell: Any) -> list[str]:
    if cell is None:
        raise Broken("no caption", "null")
    cells = list(cell) if isinstance(cell, (list, tuple)) else [cell]
    texts = [text for text in cells if text is not None]
    if not texts:
        raise Broken("empty caption", "an empty list")
    return list(dict.fromkeys(check_caption(str(text)) for text in texts))
