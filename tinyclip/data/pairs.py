"""The table of data sources, and the pairs held out of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config.schema import Data
from ..errors import UserError, nearest
from .broken import Broken
from .classes import warn_of_codes_in
from .embedded import embedded_in
from .files import evenly
from .foils import is_foils, refuse_training
from .folders import open_folder
from .hub import open_hub
from .json_files import file_of
from .karpathy import is_karpathy, open_karpathy, validation_split
from .labels import refuse_unlabelled
from .notes import note
from .parquets import open_parquet
from .pipes import open_pipe
from .protocol import Pairs
from .seeds import number
from .tables import open_table
from .tars import open_tars
from .views import Subset, label_sets_of, labels_of, places_of

__all__ = ["Broken", "Pairs", "Subset", "open_pairs", "open_split", "split_validation"]

CAPTIONS_LOOKED_AT = 200
VALIDATION_SHARE, VALIDATION_LEAST, VALIDATION_MOST = 0.02, 100, 2_000


def open_pairs(data: Data, split: str = "train") -> Pairs:
    """The pairs that `data.source` names.

    Args:
        split: of the embedded set (and `parquet:` files of its form) a value of its
            column `split`, of `json:` train, val or test; the other sources hold one
            set, which `split_validation` divides, and know "train" alone.

    Raises:
        UserError: the source is unknown, missing, empty or unusable.
    """
    scheme, rest = parse_source(data.source)
    embedded = embedded_in(data)
    if data.image_root is not None and file_of(data) is None:
        note(f"{data.source} is no json:FILE, so that data.image_root is not used")
    refuse_unlabelled(data, "builtin" if embedded is not None else scheme)
    if embedded is not None:
        return embedded.open(data, split)
    if is_foils(data):
        refuse_training(data)
    if is_karpathy(data):
        return open_karpathy(data, rest, split)
    if split != "train":
        raise ValueError(f"{data.source} has no split {split!r}")
    pairs = OPENERS[scheme](data, rest)
    if not data.captioned:
        return pairs
    rows = evenly(len(pairs), CAPTIONS_LOOKED_AT)
    warn_of_codes_in(data.source, [pairs.captions(i)[0] for i in rows])
    if labels_of(pairs) is None and label_sets_of(pairs) is None:
        for setting in ("class_names", "templates"):
            if getattr(data, setting) is not None:
                note(
                    f"{data.source} has no classes, so that data.{setting} is not used"
                )
    return pairs


def open_split(data: Data) -> tuple[Pairs, Pairs]:
    """The pairs to train on and the validation pairs, which share no picture.

    `data.val` where it is set, the validation split of an embedded set, and else
    `split_validation`. `data.limit` takes its choice of what is left to train on.
    """
    train, held_out = _split(data)
    return limited(train, data.limit), held_out


def _split(data: Data) -> tuple[Pairs, Pairs]:
    pairs = open_pairs(data)
    if data.val is not None:
        held_out = open_pairs(replace(data, source=data.val, val=None))
        return _without(pairs, held_out), held_out
    embedded = embedded_in(data)
    if embedded is not None and embedded.about.validation is not None:
        return pairs, open_pairs(data, embedded.about.validation)
    if is_karpathy(data) and (of_its_own := validation_split(data)) is not None:
        return pairs, of_its_own
    train_rows, held_out_rows = split_validation(pairs)
    return Subset(pairs, train_rows), Subset(pairs, held_out_rows)


def limited(pairs: Pairs, limit: int | None) -> Pairs:
    """At most so many pairs, in their order: those with the smallest hashes.

    So the choice depends on no order of rows and no seed, and a smaller one is part of
    every larger one.
    """
    if limit is None or len(pairs) <= limit:
        return pairs
    return Subset(pairs, _smallest(pairs, "limit", limit))


def _smallest(pairs: Pairs, purpose: str, count: int) -> NDArray[np.int64]:
    """The rows, ascending, whose keys have the smallest hashes."""
    keys = (number(purpose, pairs.key(i)) for i in range(len(pairs)))
    hashes = np.fromiter(keys, dtype=np.int64, count=len(pairs))
    return np.sort(np.argsort(hashes, kind="stable")[:count])


def _without(pairs: Pairs, held_out: Pairs) -> Pairs:
    """The pairs whose picture does not lie where a held-out one does.

    Raises:
        UserError: none is left.
    """
    rows = rows_elsewhere(pairs, [held_out])
    if not len(rows):
        raise UserError(
            "data.val",
            f"every picture of {pairs.name} is in {held_out.name} too",
            "Leave --val out, or give other pictures",
        )
    return pairs if len(rows) == len(pairs) else Subset(pairs, rows)


def rows_elsewhere(pairs: Pairs, others: Iterable[Pairs]) -> NDArray[np.int64]:
    """The rows, in order, whose picture does not lie where one of the others does."""
    places = places_of(pairs)
    if places is None:
        return np.arange(len(pairs))
    taken = {place for other in others for place in places_of(other) or ()}
    rows = [i for i, place in enumerate(places) if place not in taken]
    return np.asarray(rows, dtype=np.int64)


def split_validation(pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to validate on, both in order.

    2 % of the pairs, at least 100 and at most 2,000, and never more than half; those
    whose keys have the smallest hashes, so that it depends on no order of rows.
    """
    count = round(VALIDATION_SHARE * len(pairs))
    count = min(max(count, VALIDATION_LEAST), VALIDATION_MOST, len(pairs) // 2)
    held_out = _smallest(pairs, "validation", count)
    return np.delete(np.arange(len(pairs)), held_out), held_out


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
    return scheme, rest


OPENERS: dict[str, Callable[[Data, str], Pairs]] = {
    "csv": open_table,
    "folder": open_folder,
    "hf": open_hub,
    "json": open_karpathy,
    "parquet": open_parquet,
    "pipe": open_pipe,
    "tars": open_tars,
    "tsv": lambda data, file: open_table(data, file, "\t"),
}
SCHEMES = ("builtin", *OPENERS)
