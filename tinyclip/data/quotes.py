"""Quotation marks of a table that begin a field and quote none.

A caption may begin with a mark (``"Dune" is a book``, ``"green barn`` never closed). To
a reader of CSV such a field is a quoted one, and all rows up to some later mark are
part of it. Here a field is quoted only if a mark closes it right before a delimiter or
the end of a line; any other mark stands for itself.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from .pictures import SUFFIXES

PATHS = tuple(suffix.encode() for suffix in SUFFIXES)
BOM = b"\xef\xbb\xbf"


class Marks:
    """What quotation marks mean between one kind of delimiter."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter.encode()
        of = re.escape(self.delimiter)
        ends = rb"(?=[\r\n" + of + rb"]|\Z)"
        closed = rb'"(?:[^"%s]++|"")*+"[ ]*+' + ends
        # fields and what separates them, as far as there is nothing to look at
        self.plain = re.compile(
            rb"(?:"
            + closed % rb"\r\n"
            + rb'|[^"\r\n%s][^\r\n%s]*+|[\r\n%s]++)*+' % (of, of, of)
        )
        self.over_lines = re.compile(closed % b"")
        self.bare = re.compile(rb"[^\r\n%s]*+" % of)

    def stray(self, content: mmap.mmap) -> Iterator[tuple[int, int]]:
        """Where each field begins and ends that opens with a mark and is not quoted."""
        at = len(BOM) if content[: len(BOM)] == BOM else 0
        while True:
            at = _end(self.plain.match(content, at))
            if at >= len(content):
                return
            closed = self.over_lines.match(content, at)
            if closed and not self._holds_rows(closed[0]):
                at = closed.end()
                continue
            start, at = at, _end(self.bare.match(content, at))
            yield start, at

    def _holds_rows(self, field: bytes) -> bool:
        """Whether rows of the table were taken for lines of a caption.

        Such a line has several fields, and one of them is the path of a picture; in a
        table with tabs any second field gives it away.
        """
        for line in field.splitlines()[1:]:
            fields = line.split(self.delimiter)
            if len(fields) < 2:
                continue
            if self.delimiter == b"\t":
                return True
            if any(part.strip(b' "').lower().endswith(PATHS) for part in fields):
                return True
        return False


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None, "these patterns match nothing at least"
    return match.end()


def mended(path: Path, delimiter: str) -> tuple[Path | BytesIO, list[int]]:
    """A table whose stray marks are written as a reader of CSV expects them.

    Returns:
        The file itself where there are none, and the line of each.
    """
    lines: list[int] = []
    parts: list[bytes] = []
    done = line = 0
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if content.find(b'"') >= 0:
            for start, end in Marks(delimiter).stray(content):
                before = content[done:start]
                line += before.count(b"\n")
                lines.append(line + 1)
                field = content[start:end].replace(b'"', b'""')
                parts += before, b'"', field, b'"'
                done = end
        if not lines:
            return path, lines
        parts.append(content[done:])
    return BytesIO(b"".join(parts)), lines
