"""Pictures with captions, from whatever source, and the pairs held out of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ..config.schema import Data
from ..errors import UserError, nearest
from .files import FilePairs
from .folders import open_folder
from .pictograms import builtin_path, open_pictograms
from .pictures import Broken
from .seeds import number
from .tables import open_table

__all__ = ["Broken", "Pairs", "Subset", "open_pairs", "open_split", "split_validation"]

SCHEMES = ("builtin", "csv", "folder", "parquet")
VALIDATION_SHARE, VALIDATION_LEAST, VALIDATION_MOST = 0.02, 100, 2_000


class Pairs(Protocol):
    """Pictures in a fixed order, each with a distinct key and at least one caption."""

    @property
    def name(self) -> str:
        """The source, as a message names it."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows of the source that are not here, by reason."""

    def __len__(self) -> int: ...

    def key(self, i: int) -> str: ...

    def captions(self, i: int) -> tuple[str, ...]: ...

    def image(self, i: int) -> Image.Image:
        """RGB and upright; raises `Broken`."""

    def fingerprint(self) -> str:
        """Changes when the data changes."""


@dataclass(frozen=True, eq=False)
class Subset:
    """Some rows of other pairs."""

    pairs: Pairs
    indices: Sequence[int]

    @property
    def name(self) -> str:
        return self.pairs.name

    @property
    def dropped(self) -> Mapping[str, int]:
        return self.pairs.dropped

    def __len__(self) -> int:
        return len(self.indices)

    def key(self, i: int) -> str:
        return self.pairs.key(self.indices[i])

    def captions(self, i: int) -> tuple[str, ...]:
        return self.pairs.captions(self.indices[i])

    def image(self, i: int) -> Image.Image:
        return self.pairs.image(self.indices[i])

    def fingerprint(self) -> str:
        digest = blake2b(self.pairs.fingerprint().encode(), digest_size=16)
        digest.update(np.asarray(self.indices, dtype="<i8").tobytes())
        return digest.hexdigest()


def open_pairs(data: Data, split: str = "train") -> Pairs:
    """The pairs that `data.source` names.

    Args:
        split: of the embedded set (and `parquet:` files of its form) one of
            `pictograms.SPLITS`; the other sources hold one set, which
            `split_validation` divides, and know "train" alone.

    Raises:
        UserError: the source is unknown, missing, empty or unusable.
    """
    scheme, rest = parse_source(data.source)
    if scheme in ("builtin", "parquet"):
        path = builtin_path() if scheme == "builtin" else Path(rest).expanduser()
        return open_pictograms(data, path, split)
    if split != "train":
        raise ValueError(f"{data.source} has no split {split!r}")
    return open_table(data, rest) if scheme == "csv" else open_folder(data, rest)


def open_split(data: Data) -> tuple[Pairs, Pairs]:
    """The pairs to train on and the validation pairs, which share no picture.

    `data.val` where it is set, the development split of the embedded set, and else
    `split_validation`.
    """
    pairs = open_pairs(data)
    if data.val is not None:
        held_out = open_pairs(replace(data, source=data.val, val=None))
        return _without(pairs, held_out), held_out
    if parse_source(data.source)[0] in ("builtin", "parquet"):
        return pairs, open_pairs(data, "dev")
    train_rows, held_out_rows = split_validation(pairs)
    return Subset(pairs, train_rows), Subset(pairs, held_out_rows)


def _without(pairs: Pairs, held_out: Pairs) -> Pairs:
    """The pairs whose picture is not the file of a held-out one.

    Raises:
        UserError: none is left.
    """
    if not isinstance(pairs, FilePairs) or not isinstance(held_out, FilePairs):
        return pairs
    taken = {held_out.path(i).absolute() for i in range(len(held_out))}
    rows = [i for i in range(len(pairs)) if pairs.path(i).absolute() not in taken]
    if not rows:
        raise UserError(
            "data.val",
            f"every picture of {pairs.name} is in {held_out.name} too",
            "Leave --val out, or give other pictures",
        )
    return pairs if len(rows) == len(pairs) else Subset(pairs, rows)


def split_validation(pairs: Pairs) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to validate on, both in order.

    2 % of the pairs, at least 100 and at most 2,000, and never more than half; those
    whose keys have the smallest hashes, so that it depends on no order of rows.
    """
    count = round(VALIDATION_SHARE * len(pairs))
    count = min(max(count, VALIDATION_LEAST), VALIDATION_MOST, len(pairs) // 2)
    hashes = [number("validation", pairs.key(i)) for i in range(len(pairs))]
    held_out = set(np.argsort(hashes, kind="stable")[:count].tolist())
    train = [i for i in range(len(pairs)) if i not in held_out]
    return train, sorted(held_out)


def parse_source(source: str) -> tuple[str, str]:
    """The scheme of a data source, and what it names.

    Raises:
        UserError: no scheme, or one that there is not.
    """
    scheme, colon, rest = source.partition(":")
    if not colon or not rest:
        kind = "folder" if Path(source).is_dir() else "csv"
        raise UserError(
            "--data",
            f"{source!r} does not say what kind of source it is",
            f"Write for example {kind}:{source.rstrip(':') or 'pairs.csv'}",
        )
    if scheme not in SCHEMES:
        raise UserError(
            "--data",
            f"unknown source {scheme!r} in {source!r}",
            nearest(scheme, SCHEMES),
        )
    if scheme == "builtin" and rest != "pictograms":
        raise UserError(
            "--data", f"unknown builtin {rest!r}", nearest(rest, ["pictograms"])
        )
    return scheme, rest
