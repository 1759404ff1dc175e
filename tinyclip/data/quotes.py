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
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from .pictures import SUFFIXES

PATHS = tuple(suffix.encode() for suffix in SUFFIXES)
BOM = b"\xef\xbb\xbf"


class Marks:
    """What quotation marks mean between one kind of delimiter."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter.encode()
        escaped = re.escape(self.delimiter)
        ends = rb"(?=[\r\n" + escaped + rb"]|\Z)"
        closed = rb'"(?:[^"%s]++|"")*+"[ ]*+' + ends
        # fields and what separates them, as far as there is nothing to look at
        self.plain = re.compile(
            rb"(?:"
            + closed % rb"\r\n"
            + rb'|[^"\r\n%s][^\r\n%s]*+|[\r\n%s]++)*+' % (escaped, escaped, escaped)
        )
        self.over_lines = re.compile(closed % b"")
        self.bare = re.compile(rb"[^\r\n%s]*+" % escaped)

    def fields(self, content: mmap.mmap) -> Iterator[tuple[int, int, bool]]:
        """Where fields begin and end that open with a mark, and which are quoted.

        Of quoted ones only those of several lines.
        """
        at = len(BOM) if content[: len(BOM)] == BOM else 0
        while True:
            at = _end(self.plain.match(content, at))
            if at >= len(content):
                return
            closed = self.over_lines.match(content, at)
            quoted = closed is not None and not self._holds_rows(closed[0])
            end = closed if quoted else self.bare.match(content, at)
            start, at = at, _end(end)
            yield start, at, quoted

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


@dataclass(frozen=True)
class Mended:
    """A table as a reader of CSV expects it.

    Args:
        content: its bytes, or the file itself where nothing was to be mended.
        strays: the line of each field that opens with a mark and is not quoted.
        spans: of quoted fields of several lines, the line and how many more it has;
            lines are counted as a reader counts them, one for such a field.
    """

    content: Path | BytesIO
    strays: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()

    def line(self, counted: int) -> int:
        """The line of the file that a reader counts as this one."""
        return counted + sum(more for line, more in self.spans if line < counted)


def mended(path: Path, delimiter: str) -> Mended:
    """A table whose stray marks are written as a reader of CSV expects them."""
    strays: list[int] = []
    spans: list[tuple[int, int]] = []
    parts: list[bytes] = []
    copied = counted = more = 0
    line = 1
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if content.find(b'"') < 0:
            return Mended(path)
        for start, end, quoted in Marks(delimiter).fields(content):
            line += content[counted:start].count(b"\n")
            field, counted = content[start:end], end
            if quoted:
                spans.append((line - more, field.count(b"\n")))
                line, more = line + spans[-1][1], more + spans[-1][1]
                continue
            strays.append(line)
            parts += content[copied:start], b'"', field.replace(b'"', b'""'), b'"'
            copied = end
        parts.append(content[copied:] if strays else b"")
    whole = BytesIO(b"".join(parts)) if strays else path
    return Mended(whole, tuple(strays), tuple(spans))
