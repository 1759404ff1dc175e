"""Quotation marks of a table that begin a field and quote none.

A caption may begin with a mark (``"Dune" is a book``, ``"green barn`` never closed). To
a reader of CSV such a field is a quoted one, and all rows up to some later mark are
part of it. Here a field is quoted only if a mark closes it right before a delimiter or
the end of a line, and none of its lines is a row; any other mark stands for itself.
"""

from __future__ import annotations

import mmap
import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import accumulate
from pathlib import Path

from .pictures import SUFFIXES

PATHS = tuple(suffix.encode() for suffix in SUFFIXES)
BOM = b"\xef\xbb\xbf"
LINE_END = re.compile(rb"\r\n?|\n")
REST_OF_LINE = re.compile(rb"[^\r\n]*+")


@dataclass(frozen=True)
class Rows:
    """What rows of a table have in common.

    Args:
        width: how many fields the header has.
        image: which of them names a picture; None where that is not known.
        root: what paths are relative to.
    """

    width: int
    image: int | None
    root: Path

    def has_path(
        self, fields: Sequence[bytes], before: int = 0, look: bool = False
    ) -> bool:
        """Whether the picture's field ends as pictures' names do, or is a file's.

        Space before it is a sign of prose (``see, photo.jpg``).

        Args:
            fields: of a row, or of a part of one.
            before: how many fields of the row come before these.
            look: for a file of that name.
        """
        if self.image is None or not before <= self.image < before + len(fields):
            return False
        path = fields[self.image - before]
        if path[:1] == b" ":
            return False
        if path.lower().endswith(PATHS):
            return True
        # Path.is_file raises where a name is too long for one
        name = path.decode(errors="replace")
        return look and os.path.isfile(self.root / name)  # noqa: PTH113


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
        self.empty_lines = re.compile(rb"(?:[ ]*+[\r\n])*+")
        self.over_lines = re.compile(closed % b"")
        self.bare = re.compile(rb"[^\r\n%s]*+" % escaped)

    def fields(self, content: mmap.mmap, rows: Rows) -> Iterator[tuple[int, int, bool]]:
        """Where fields begin and end that open with a mark, and which are quoted.

        Of quoted ones only those of several lines.
        """
        at = _begin(content)
        while True:
            at = _end(self.plain.match(content, at))
            if at >= len(content):
                return
            closed = self.over_lines.match(content, at)
            quoted = closed is not None and not self._holds_rows(content, closed, rows)
            end = closed if quoted else self.bare.match(content, at)
            start, at = at, _end(end)
            yield start, at, quoted

    def record(self, content: bytes | mmap.mmap, at: int = 0) -> list[bytes]:
        """The fields from here to the end of the line, or of a quoted field's last."""
        fields: list[bytes] = []
        while True:
            found = self.over_lines.match(content, at) or self.bare.match(content, at)
            at = _end(found)
            fields.append(content[at - len(found[0]) : at] if found else b"")
            if content[at : at + 1] != self.delimiter:
                return fields
            at += 1

    def _holds_rows(
        self, content: mmap.mmap, field: re.Match[bytes], rows: Rows
    ) -> bool:
        """Whether rows of the table were taken for lines of a caption.

        Such a line has as many fields as the header, and a path in the picture's. The
        first line begins, and the last ends, outside of the field: there the path
        itself has to lie in it, for behind a quoted caption it proves nothing.
        """
        first, *inner = map(self.record, LINE_END.split(field[0]))
        if not inner or rows.image is None:
            return False
        before = rows.width - len(first)  # so many fields of its row
        if before >= 0 and rows.has_path(first[1:], before + 1):
            return True
        # a name without a suffix may be any word: only under a first line that is a row
        look = before >= 0 and before != rows.image
        *inner, last = inner
        full = (line for line in inner if len(line) == rows.width)
        if any(rows.has_path(line, look=look) for line in full):
            return True
        rest = REST_OF_LINE.match(content, field.end())
        behind = self.record(rest[0] if rest else b"")
        width = len(last) + len(behind) - 1
        return width == rows.width and rows.has_path(last, look=look)


def _begin(content: mmap.mmap) -> int:
    return len(BOM) if content[: len(BOM)] == BOM else 0


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None, "these patterns match nothing at least"
    return match.end()


def _line_ends(text: bytes) -> int:
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def header(path: Path, delimiter: str) -> list[str]:
    """The names in the first line of a table that holds anything."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        marks = Marks(delimiter)
        begin = _end(marks.empty_lines.match(content, _begin(content)))
        fields = marks.record(content, begin)
    return [_unquoted(field.decode(errors="replace")) for field in fields]


def _unquoted(field: str) -> str:
    text = field.rstrip(" ")
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return field


@dataclass(frozen=True)
class Mended:
    """A table as a reader of CSV expects it.

    Args:
        content: its bytes, or the file itself where nothing was to be mended.
        strays: the line of each field that opens with a mark and is not quoted.
        spans: of quoted fields of several lines, the first line and how many more.
    """

    content: Path | BytesIO
    strays: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()

    def line(self, counted: int) -> int:
        """The line of the file that a reader counts as this one.

        It counts one for a row, however many lines its quoted fields have.
        """
        starts, more = self._counted
        return counted + more[bisect_left(starts, counted)]

    @cached_property
    def _counted(self) -> tuple[list[int], list[int]]:
        """Where spans begin as a reader counts, and the lines it left out before."""
        more = [*accumulate((lines for _, lines in self.spans), initial=0)]
        spans = zip(self.spans, more, strict=False)
        return [line - before for (line, _), before in spans], more


def mended(path: Path, delimiter: str, rows: Rows) -> Mended:
    """A table whose stray marks are written as a reader of CSV expects them."""
    strays: list[int] = []
    spans: list[tuple[int, int]] = []
    parts: list[bytes] = []
    copied = counted = 0
    line = 1
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if content.find(b'"') < 0:
            return Mended(path)
        for start, end, quoted in Marks(delimiter).fields(content, rows):
            line += _line_ends(content[counted:start])
            field, counted = content[start:end], end
            if not quoted:
                strays.append(line)
                parts += content[copied:start], b'"', field.replace(b'"', b'""'), b'"'
                copied = end
            else:
                spans.append((line, _line_ends(field)))
                line += spans[-1][1]
        parts.append(content[copied:] if strays else b"")
    whole = BytesIO(b"".join(parts)) if strays else path
    return Mended(whole, tuple(strays), tuple(spans))
