"""The shards of a teacher cache: features in files of a bounded size.

A shard is whole or absent. Beside every feature lies its CRC-32, which each reading
compares: a flipped byte is noticed by whoever reads that feature, and a step reads
nothing but its own rows.

Legend: R rows of all shards, r rows of one, A augmentations (1 of captions), E joint
embedding.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from ...bounded import open_regular
from ...dtypes import DTYPES
from ...errors import UserError
from ...files import write_bytes

SHARD = 64 * 2**20  # bytes of features
PARTS = 64
CHUNK = 256  # fixed: the bits of a feature must not depend on who asks for it
NAMES = ("features", "crc", "whole")


class Torn(Exception):
    """A shard is missing, cut or changed; the message says how."""


@dataclass(frozen=True)
class Layout:
    """How the features of one kind lie in shards.

    Args:
        kind: `image` or `text`, the start of the files' names.
        rows: R of all shards.
        augmentations: A of a row.
        embed_dim: E.
        dtype: a name of `dtypes`.
        each: rows of a shard; the last one may have fewer.
    """

    kind: str
    rows: int
    augmentations: int
    embed_dim: int
    dtype: str
    each: int

    def __post_init__(self) -> None:
        if min(self.augmentations, self.embed_dim, self.each) < 1:
            raise ValueError(f"shards of {self.kind} need at least 1 of each size")

    @classmethod
    def bounded(
        cls, kind: str, rows: int, augmentations: int, embed_dim: int, dtype: str
    ) -> Layout:
        """Shards of at most `SHARD` bytes, and of no more than 1/`PARTS` of it all.

        A shard is what a killed process loses, so that a small set has several too.
        """
        most = SHARD // (augmentations * embed_dim * DTYPES[dtype].torch.itemsize)
        least = CHUNK // augmentations
        each = max(1, min(most, max(least, -(-rows // PARTS))))
        return cls(kind, rows, augmentations, embed_dim, dtype, each)

    @property
    def count(self) -> int:
        """How many shards there are."""
        return -(-self.rows // self.each)

    def span(self, number: int) -> range:
        """The rows of a shard."""
        first = number * self.each
        return range(first, min(first + self.each, self.rows))

    def path(self, folder: Path, number: int) -> Path:
        return folder / f"{self.kind}-{number:05d}.safetensors"

    def shape(self, number: int) -> list[int]:
        """(r, A, E) of a shard."""
        return [len(self.span(number)), self.augmentations, self.embed_dim]


def checksums(bytes_rAE: NDArray[np.uint8], whole: Iterable[bool]) -> NDArray[np.int64]:
    """CRC-32 (r, A) of each feature's bytes, and of whether its sample is whole."""
    rows = zip(bytes_rAE, whole, strict=True)
    crcs = [[zlib.crc32(feature, int(good)) for feature in row] for row, good in rows]
    return np.asarray(crcs, dtype=np.int64)


def bytes_of(features_rAE: Tensor) -> NDArray[np.uint8]:
    """The same memory as bytes."""
    view: NDArray[np.uint8] = features_rAE.view(torch.uint8).numpy()
    return view


def write_shard(
    path: Path, features_rAE: Tensor, whole: Sequence[bool], made_of: str
) -> None:
    """Write one shard, whole or not at all.

    Args:
        whole: of each row whether its sample could be read; the features of the
            others mean nothing.
        made_of: fingerprint of the cache that it belongs to.

    Raises:
        StorageError: it cannot be written.
    """
    features_rAE = features_rAE.contiguous()
    tensors = {
        "features": features_rAE,
        "crc": torch.from_numpy(checksums(bytes_of(features_rAE), whole)),
        "whole": torch.tensor(list(whole), dtype=torch.bool),
    }
    # one entry: the library writes several in no fixed order
    write_bytes(path, save_tensors(tensors, {"made_of": made_of}))


class Shard:
    """One shard in a memory map: opening it reads its header alone.

    Raises:
        Torn: it is missing or cut, or not the shard that is wanted.
    """

    def __init__(self, layout: Layout, folder: Path, number: int, made_of: str) -> None:
        self.path = layout.path(folder, number)
        try:
            open_regular(self.path).close()  # a pipe would be waited for
            # slices of everything are views of the map: nothing is read yet
            file = safe_open(self.path, framework="pt")
            fingerprint = (file.metadata() or {}).get("made_of")
            tensors = [file.get_slice(name)[:] for name in NAMES]
        except FileNotFoundError:
            raise Torn("it is missing") from None
        except (OSError, SafetensorError, ValueError) as error:
            raise Torn(f"it cannot be read ({error})") from None
        shape = layout.shape(number)
        expected = [
            (shape, DTYPES[layout.dtype].torch),
            (shape[:2], torch.int64),
            (shape[:1], torch.bool),
        ]
        if fingerprint != made_of or expected != [
            (list(t.shape), t.dtype) for t in tensors
        ]:
            raise Torn("it is of another cache")
        self._features_rAE = tensors[0]
        self._bytes_rAE = bytes_of(self._features_rAE)
        self.crc_rA, self.whole_r = tensors[1].numpy(), tensors[2].numpy()

    def feature(self, row: int, augmentation: int) -> Tensor:
        """One feature (E), a view; raises `Torn` where its checksum is wrong."""
        content_E = self._bytes_rAE[row, augmentation]
        crc = zlib.crc32(content_E, int(self.whole_r[row]))
        if crc != self.crc_rA[row, augmentation]:
            raise Torn(f"the checksum of row {row} is wrong")
        return self._features_rAE[row, augmentation]

    def check(self) -> None:
        """Read it all; raises `Torn` where any checksum is wrong."""
        if not np.array_equal(checksums(self._bytes_rAE, self.whole_r), self.crc_rA):
            raise Torn("a checksum is wrong")


class Shards:
    """All shards of one kind, open.

    Args:
        again: the command that makes a damaged shard anew.

    Raises:
        UserError: one is missing or cut, or of another cache.
    """

    def __init__(self, layout: Layout, folder: Path, made_of: str, again: str) -> None:
        self.layout, self.again = layout, again
        self._shards = []
        for number in range(layout.count):
            try:
                self._shards.append(Shard(layout, folder, number, made_of))
            except Torn as torn:
                raise self._damaged(layout.path(folder, number), torn) from None

    def feature(self, place: int, augmentation: int) -> Tensor:
        """One feature (E), as it was stored.

        Raises:
            UserError: its checksum is wrong.
        """
        number, row = divmod(place, self.layout.each)
        shard = self._shards[number]
        try:
            return shard.feature(row, augmentation)
        except Torn as torn:
            raise self._damaged(shard.path, torn) from None

    def _damaged(self, path: Path, torn: Torn) -> UserError:
        return UserError(
            str(path), f"is damaged: {torn}", f"Only it is made anew by: {self.again}"
        )
