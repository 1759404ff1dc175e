"""Texts that have no picture: a file of one a line, or a column of a table."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast, overload

import numpy as np

from ..bounded import open_regular
from ..config.schema import Data
from ..errors import UserError
from .broken import NAMED, Dropped
from .columns import Column, faults, flags
from .notes import note, number_of
from .quotes import Rows, mended
from .quotes import header as names_of
from .tables import (
    CAPTION_NAMES,
    DELIMITERS,
    PIECE,
    QUOTED,
    as_strings,
    find_column,
    header_line,
    note_marks,
    pieces_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST = 2**20  # bytes of a line
FAULTS = frozenset({"long caption", "invalid UTF-8"})
TABLES: dict[str, str | None] = {
    "csv": None,
    "tsv": "\t",
}  # schemes, and what is between columns


class Texts(Sequence[str]):
    """Distinct texts in the order of the file.

    Args:
        name: the source, as the user wrote it.
        column: the texts.
        dropped: what was left out, by kind.
    """

    def __init__(self, name: str, column: Column, dropped: Dropped) -> None:
        self.name, self.dropped = name, dropped
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, i: int) -> str: ...

    @overload
    def __getitem__(self, i: slice) -> list[str]: ...

    def __getitem__(self, i: int | slice) -> str | list[str]:
        return cast(str | list[str], self._column[i])

    def __iter__(self) -> Iterator[str]:
        return iter(self._column)

    def fingerprint(self) -> str:
        """Of every text."""
        digest = blake2b(digest_size=16)
        for text in self:
            digest.update(f"{text}\x1e".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def open_texts(data: Data, held_out: Collection[str] = ()) -> Texts:
    """The texts that `data.texts` names.

    A line of a file is a text; a ``.gz`` is unpacked. Of ``csv:FILE`` and ``tsv:FILE``
    a column is. Space around texts is trimmed; those that are empty, there already, or
    held out are left out, and told.

    Args:
        held_out: captions that are measured on.

    Raises:
        UserError: no such file, no text in UTF-8, no column, or no or too few texts
            that can be used.
    """
    assert data.texts is not None
    scheme, colon, rest = data.texts.partition(":")
    where = f"data.texts: {data.texts}"
    if colon and scheme in TABLES:
        texts = _of_table(where, Path(rest).expanduser(), TABLES[scheme], data)
    else:
        texts = _of_lines(where, Path(data.texts).expanduser())
    dropped = Dropped()
    column = _usable(texts, held_out, dropped)
    _tell(where, dropped)
    count = len(column)
    if dropped.broken > data.max_broken_share * (count + dropped.broken):
        kinds = ", ".join(f"{dropped[kind]} {kind}" for kind in FAULTS & {*dropped})
        raise UserError(
            where,
            f"{dropped.broken} of {count + dropped.broken} texts cannot be used, more "
            f"than the share of {data.max_broken_share:g} that data.max_broken_share "
            f"allows: {kinds}; the first is {next(iter(dropped.rows))}",
            "Mend or remove them, or raise data.max_broken_share",
        )
    if not count:
        raise UserError(where, "holds no text that can be used", "Put one on each line")
    return Texts(data.texts, column, dropped)


def _usable(texts: pa.Array, held_out: Collection[str], dropped: Dropped) -> Column:
    """The distinct texts that can be used; the others are counted by kind."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(texts)
    found = faults(texts)
    left = ~(found["empty caption"] | found["no caption"])
    dropped.add("blank line", count=int((~left).sum()))
    for kind in sorted(FAULTS):
        rows = np.flatnonzero(left & found[kind])
        dropped.add(kind, count=len(rows))
        for row in rows[:NAMED]:
            dropped.add(kind, f"text {row + 1}", count=0)
        left[rows] = False
    texts = texts.filter(pa.array(left))
    distinct = texts.unique()
    dropped.add("repeated", count=len(texts) - len(distinct))
    if held_out:
        wanted = pc.invert(pc.is_in(distinct, pa.array([*held_out], distinct.type)))
        dropped.add("held out", count=len(distinct) - int(flags(wanted).sum()))
        distinct = distinct.filter(wanted)
    pa.default_memory_pool().release_unused()
    return Column(distinct)


def _tell(where: str, dropped: Dropped) -> None:
    """Say what was left out that is no fault."""
    words = {
        "blank line": ("blank line", "blank lines"),
        "repeated": ("text that is there already", "texts that are there already"),
        "held out": ("caption that is measured on", "captions that are measured on"),
    }
    told = [number_of(dropped[kind], *words[kind]) for kind in words if kind in dropped]
    if told:
        note(f"{where}: left out {', '.join(told)}")


def _of_lines(where: str, path: Path) -> pa.Array:
    """Every line of a text file.

    Raises:
        UserError: it cannot be read, is not UTF-8 (the line is named), or a line is too
            long to be one.
    """
    import pyarrow as pa

    parts: list[pa.Array] = []
    lines: list[str] = []
    with _opened(where, path) as file:
        raw_lines = iter(lambda: file.readline(LONGEST + 1), b"")
        for number, raw in enumerate(raw_lines, start=1):
            lines.append(_decoded(raw, where, number))
            if len(lines) == PIECE:
                parts.append(as_strings(lines))
                lines = []
    return pa.concat_arrays([*parts, as_strings(lines)])


@contextmanager
def _opened(where: str, path: Path) -> Iterator[IO[bytes]]:
    """A file, unpacked if it is gzipped.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            if path.suffix.lower() != ".gz":
                yield file
                return
            with gzip.open(file) as unpacked:
                yield cast(IO[bytes], unpacked)
    except FileNotFoundError:
        raise UserError(where, "there is no such file", "Check the path") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        todo = "Pack it again, or give it as it is"
        raise UserError(where, f"is no whole gzip file: {error}", todo) from None
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise UserError(where, f"cannot be read: {told}", "Check the path") from None


def _decoded(raw: bytes, where: str, number: int) -> str:
    if len(raw) > LONGEST:
        what = f"line {number} has more than {LONGEST} bytes"
        raise UserError(where, what, "Put one text on each line")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"line {number} is not UTF-8 ({error.reason})"
        raise UserError(where, what, "Save the file as UTF-8") from None
    return text.removeprefix("\ufeff") if number == 1 else text


def _of_table(where: str, path: Path, delimiter: str | None, data: Data) -> pa.Array:
    """A column of a table.

    Raises:
        UserError: it cannot be read as one, or has no such column.
    """
    import pyarrow as pa

    first = QUOTED.sub("", header_line(path, where))
    delimiter = delimiter or max(DELIMITERS, key=first.count)
    width = len(names_of(path, delimiter))
    table = mended(path, delimiter, Rows(width, None, path.parent))
    note_marks(where, table)
    parts: list[pa.Array] = []
    column = ""
    for piece in pieces_of(table, where, delimiter):
        if not parts:
            named, names = data.texts_column, piece.columns
            column = find_column(names, named, CAPTION_NAMES, "texts", where)
        parts.append(as_strings(piece[column]))
    return pa.concat_arrays(parts) if parts else as_strings([])
