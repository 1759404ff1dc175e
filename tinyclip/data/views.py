"""Other pairs, seen through a choice of rows or under other captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .protocol import Pairs
from .seeds import Blocks


@dataclass(frozen=True, eq=False)
class View:
    """Pairs that are made of other pairs, row by row."""

    pairs: Pairs

    def row(self, i: int) -> int:
        """The row of `pairs` that is row `i` here."""
        return i

    @property
    def name(self) -> str:
        return self.pairs.name

    @property
    def dropped(self) -> Mapping[str, int]:
        return self.pairs.dropped

    def __len__(self) -> int:
        return len(self.pairs)

    def key(self, i: int) -> str:
        return self.pairs.key(self.row(i))

    def captions(self, i: int) -> tuple[str, ...]:
        return self.pairs.captions(self.row(i))

    def image(self, i: int) -> Image.Image:
        return self.pairs.image(self.row(i))

    def fingerprint(self) -> str:
        return self.pairs.fingerprint()


@dataclass(frozen=True, eq=False)
class Subset(View):
    """Some rows of other pairs."""

    indices: Sequence[int] | NDArray[np.int64]

    def row(self, i: int) -> int:
        return int(self.indices[i])

    def __len__(self) -> int:
        return len(self.indices)

    def fingerprint(self) -> str:
        digest = blake2b(self.pairs.fingerprint().encode(), digest_size=16)
        digest.update(np.asarray(self.indices, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Recaptioned(View):
    """Other pairs under one new caption each."""

    texts: Sequence[str]

    def captions(self, i: int) -> tuple[str, ...]:
        return (self.texts[i],)


def source_of(pairs: Pairs) -> Pairs:
    """All pairs of the source that these are a view of."""
    while isinstance(pairs, View):
        pairs = pairs.pairs
    return pairs


def rows_of(pairs: Pairs) -> tuple[Pairs, list[int]]:
    """All pairs of the source that these are a view of, and their rows in it."""
    rows = list(range(len(pairs)))
    while isinstance(pairs, View):
        rows, pairs = [pairs.row(i) for i in rows], pairs.pairs
    return pairs, rows


def labels_of(pairs: Pairs) -> Sequence[str] | None:
    """The class names of pairs from a source that has classes, or None."""
    if isinstance(pairs, View):
        names = labels_of(pairs.pairs)
        return names and [names[pairs.row(i)] for i in range(len(pairs))]
    return getattr(pairs, "labels", None)


def label_sets_of(pairs: Pairs) -> Sequence[tuple[str, ...]] | None:
    """The class names of each picture, from a source where some have several; or
    None."""
    source, rows = rows_of(pairs)
    sets = getattr(source, "label_sets", None)
    return None if sets is None else [sets[i] for i in rows]


def places_of(pairs: Pairs) -> list[str] | None:
    """Where every picture lies, whichever source names it; None where that is unknown.

    Two sources that name the same picture give the same place.
    """
    source, rows = rows_of(pairs)
    place = getattr(source, "place", None)
    return None if place is None else [place(i) for i in rows]


def blocks_of(pairs: Pairs) -> Blocks | None:
    """Which rows are read together; None where each is read alone."""
    if not isinstance(pairs, View):
        return getattr(pairs, "blocks", None)
    blocks = blocks_of(pairs.pairs)
    if blocks is None or not isinstance(pairs, Subset):
        return blocks
    return replace(blocks, block_N=blocks.block_N[np.asarray(pairs.indices)])
