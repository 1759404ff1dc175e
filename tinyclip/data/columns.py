"""Keys and captions of many rows in little memory, and rows of one picture together.

A million rows are some 100 MB in Arrow's arrays and some 400 MB as Python's strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from .broken import CAPTION_LIMIT, NAMED, Dropped

if TYPE_CHECKING:
    import pyarrow as pa

UNTIDY = r"^\s|\s$|(^|/)\./|//|/\.?$"  # paths that can be written more simply


class Column(Sequence[Any]):
    """An Arrow array, or a chunked one, read like a tuple."""

    def __init__(self, array: pa.Array | pa.ChunkedArray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, i: int) -> Any: ...

    @overload
    def __getitem__(self, i: slice) -> list[Any]: ...

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return self._plain(self.array[int(i)].as_py())

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), 10_000):
            yield from map(self._plain, self.array.slice(start, 10_000).to_pylist())

    @staticmethod
    def _plain(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Gathered:
    """Distinct keys in the order of their first row, and the captions of each."""

    keys: Sequence[str]
    texts: Sequence[tuple[str, ...]]


def excluder(globs: Iterable[str]) -> re.Pattern[str] | None:
    """What the `exclude` globs name, as one expression; None where there is none."""
    patterns = [translate(glob) for glob in globs]
    return re.compile("|".join(patterns)) if patterns else None


def excluded(key: str, globs: Iterable[str]) -> bool:
    """Whether one of the `exclude` globs names this key."""
    pattern = excluder(globs)
    return pattern is not None and pattern.match(key) is not None


def tidy_path(path: str) -> str:
    """``./a.png`` and ``a.png`` are one picture; an address keeps its two slashes."""
    text = path.strip()
    return text if not text or "://" in text else str(PurePosixPath(text))


def tidy_paths(paths: pa.Array) -> pa.Array:
    """`tidy_path` of many, most of which are tidy."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = np.flatnonzero(flags(pc.match_substring_regex(paths, UNTIDY)))
    if not len(rows):
        return paths
    tidied = paths.to_pylist()
    for row in rows:
        tidied[row] = tidy_path(tidied[row])
    return pa.array(tidied, pa.large_string())


def faults(texts: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """Which captions are broken, by kind; they are trimmed, and absent ones null."""
    import pyarrow.compute as pc

    return {
        "no caption": flags(pc.is_null(texts)),
        "empty caption": flags(pc.equal(texts, "")),
        "long caption": flags(pc.greater(pc.utf8_length(texts), CAPTION_LIMIT)),
        "invalid UTF-8": flags(pc.match_substring(texts, "\ufffd")),
    }


def gather(
    keys: pa.Array, texts: pa.Array, exclude: Iterable[str], dropped: Dropped
) -> Gathered:
    """Rows of (key, caption) as distinct keys with captions; the others are counted.

    A picture that has several rows becomes one pair of several captions, so that no
    picture is on both sides of the validation split.

    Args:
        keys: large_string, tidy; "" or null for none.
        texts: large_string; null for none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pc.fill_null(keys, "")
    texts = pc.utf8_trim_whitespace(texts)
    rows = _usable_rows(keys, texts, exclude, dropped)
    picture_N = _codes(keys.take(pa.array(rows)))
    if len(rows) and picture_N.max() + 1 < len(rows):  # a picture has several rows
        first = _first_of_each(picture_N, _codes(texts.take(pa.array(rows))))
        dropped.add("repeated", count=len(rows) - len(first))
        rows, picture_N = rows[first], picture_N[first]
    starts_P = np.concatenate([[0], np.cumsum(np.bincount(picture_N))]).astype(np.int64)
    ordered = rows[np.argsort(picture_N, kind="stable")]
    gathered = Gathered(
        Column(keys.take(pa.array(ordered[starts_P[:-1]]))),
        Column(
            pa.LargeListArray.from_arrays(
                pa.array(starts_P), texts.take(pa.array(ordered))
            )
        ),
    )
    pa.default_memory_pool().release_unused()
    return gathered


def _usable_rows(
    keys: pa.Array, texts: pa.Array, exclude: Iterable[str], dropped: Dropped
) -> NDArray[np.int64]:
    """The rows that have a key and a caption; the others are counted, and named."""
    import pyarrow.compute as pc

    reasons = {"no path": flags(pc.equal(keys, ""))}
    reasons["invalid UTF-8"] = flags(pc.match_substring(keys, "\ufffd"))
    if (pattern := excluder(exclude)) is not None:
        matched = [pattern.match(key) is not None for key in Column(keys)]
        reasons["excluded"] = np.asarray(matched, dtype=bool)
    usable = np.ones(len(keys), dtype=bool)
    for masks in (reasons, faults(texts)):
        for kind, mask in masks.items():
            rows = np.flatnonzero(mask & usable)
            _name(dropped, kind, keys, rows)
            usable[rows] = False
    return np.flatnonzero(usable)


def _name(dropped: Dropped, kind: str, keys: pa.Array, rows: NDArray[np.int64]) -> None:
    """Count rows of a kind, and name the first of them."""
    dropped.add(kind, count=len(rows))
    for row in rows[:NAMED]:
        dropped.add(kind, keys[int(row)].as_py() or f"row {row + 1}", count=0)


def _codes(array: pa.Array) -> NDArray[np.int64]:
    """Equal values get equal numbers: 0, 1, ... in the order of first appearance."""
    return array.dictionary_encode().indices.to_numpy().astype(np.int64)


def _first_of_each(
    picture_N: NDArray[np.int64], text_N: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Rows that say something new of their picture, in order."""
    statement_N = picture_N * (text_N.max() + 1) + text_N
    return np.sort(np.unique(statement_N, return_index=True)[1])


def flags(answers: Any) -> NDArray[np.bool_]:
    """Arrow's answers as booleans; null is no."""
    import pyarrow.compute as pc

    answers = pc.fill_null(answers, False)
    return np.asarray(answers.to_numpy(zero_copy_only=False), dtype=bool)
