"""Rows of a table that the library `datasets` took for lines of a text.

It reads a CSV as pandas does: a quotation mark that opens a field and is not closed
(``"green barn``) makes one text of all rows up to some later mark. Our own reader
(`quotes`) does not; there is nothing to mend once the library has read the rows, but
they can be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .notes import number_of
from .pictures import SUFFIXES

READERS = {".csv": "csv:", ".tsv": "tsv:"}
DELIMITERS = re.compile(r"[,;|\t]")
MARK = 'a quotation mark that opens a field and is not closed (`"green barn`)'


class Swallowed(NamedTuple):
    """A text of row `row` that holds so many other rows."""

    row: int
    rows: int
    text: str


def swallowed(texts: Iterable[str | None]) -> Iterator[Swallowed]:
    """Texts that hold rows: lines of several fields, one of them a picture's path."""
    for row, text in enumerate(texts):
        if text is not None and "\n" in text:
            count = sum(map(_is_row, text.splitlines()[1:]))
            if count:
                yield Swallowed(row, count, text)


def _is_row(line: str) -> bool:
    fields = DELIMITERS.split(line)
    return len(fields) > 1 and any(
        field.strip(' "').lower().endswith(SUFFIXES) for field in fields
    )


def refuse_swallowed(where: str, folder: Path, lost: Sequence[Swallowed]) -> None:
    """Refuse a folder whose table `csv:` reads whole.

    Raises:
        UserError: a table below the folder holds one of these texts; with its line.
    """
    for path in _tables(folder):
        content = path.read_bytes()
        for _, _, text in lost:
            at = content.find(b'"' + text.split("\n")[0].rstrip("\r").encode())
            if at < 0:
                continue
            line = content.count(b"\n", 0, at) + 1
            rows = number_of(sum(each.rows for each in lost), "row", "rows")
            raise UserError(
                where,
                f"line {line} of {path.relative_to(folder)} has {MARK}, and the "
                f"library datasets takes {rows} after it for a part of its text",
                f"Let that table be read without it: {READERS[path.suffix]}{path}",
            )


def unclosed(folder: Path) -> str:
    """What to try where the library cannot read a folder, or ""."""
    for path in _tables(folder):
        if path.read_bytes().count(b'"') % 2:
            return (
                f"{path} has {MARK}: let that table be read without the library: "
                f"{READERS[path.suffix]}{path}"
            )
    return ""


def _tables(folder: Path) -> Iterator[Path]:
    """The tables below a folder, in order; none where there is no folder."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in READERS and path.is_file():
            yield path
