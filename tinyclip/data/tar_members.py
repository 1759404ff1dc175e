"""What stands in a tar file and where, from its headers alone.

A picture's bytes are never read here: 4 us a member with a plain header. Others (long
names, PAX records) are read by `tar_headers`.
"""

from __future__ import annotations

import mmap
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .broken import Broken
from .tar_headers import BLOCK, REGULAR, SPARSE, Records, entry_at, is_header

PADDING = 2 * 2**20  # zeros that a writer may leave after the end
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_ZEROS = bytes(BLOCK)
_PLAIN = (b"0", b"\0")


class Member(NamedTuple):
    """A file in a tar: `size` bytes from `offset` on.

    Args:
        why: why it cannot be read from there, or "".
    """

    name: str
    offset: int
    size: int
    why: str = ""


Members = Generator[tuple[Member, mmap.mmap], None, int]


def read_members(path: Path) -> Iterator[tuple[Member, mmap.mmap]]:
    """Every file of a tar in its order, and the bytes of the whole.

    Raises:
        UserError: it is compressed, so that nothing in it has a place.
        Broken: the tar ends before its end, or a header is damaged; members behind that
            cannot be found.
    """
    if not path.stat().st_size:
        raise Broken("torn tar", "the file has no bytes")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        for start, name in COMPRESSED.items():
            if content[: len(start)] == start:
                raise UserError(
                    str(path),
                    f"is compressed ({name}), so no picture in it can be found without "
                    "reading all before it",
                    "Unpack it once (pictures are compressed already)",
                )
        at = yield from _plain_members(content)
        at = yield from _other_members(content, at)
        _check_end(content, at)


def _plain_members(content: mmap.mmap) -> Members:
    """Members with plain headers; returns where another kind of block begins."""
    at = 0
    while True:
        head = content[at : at + BLOCK]
        if len(head) < BLOCK or head[156:157] not in _PLAIN or not head[0]:
            return at
        try:
            size, stated = int(head[124:135], 8), int(head[148:154], 8)
        except ValueError:
            return at
        # the checksum counts its own eight bytes as spaces
        if sum(head) - sum(head[148:156]) + 8 * 32 != stated:
            return at
        if size < 0 or head[135] not in b"\0 ":  # twelve digits, or none of a size
            return at
        name = head[:100].split(b"\0", 1)[0]
        if head[257:263] == b"ustar\0" and head[345]:
            name = head[345:500].split(b"\0", 1)[0] + b"/" + name
        if at + BLOCK + size > len(content):
            raise Broken("torn tar", f"it ends inside of {_text(name)}")
        if not name.endswith(b"/"):  # a folder, as tars before POSIX have it
            yield Member(_text(name), at + BLOCK, size), content
        at += BLOCK + -(-size // BLOCK) * BLOCK


def _other_members(content: mmap.mmap, at: int) -> Members:
    """Members with whatever headers from here on; returns where they end."""
    shared: Records = {}
    while is_header(content, at):
        entry = entry_at(content, at, shared)
        name, at = _text(entry.name), entry.end
        if entry.kind == SPARSE:
            yield Member(name, entry.offset, 0, "its holes are left out"), content
        elif entry.kind in REGULAR:
            if entry.offset + entry.size > len(content):
                raise Broken("torn tar", f"it ends inside of {name}")
            yield Member(name, entry.offset, entry.size), content
    return at


def _check_end(content: mmap.mmap, at: int) -> None:
    """Raises `Broken` where a tar does not end as tars end: zeros, and not too many.

    Members behind a damaged header would be missing silently.
    """
    rest = len(content) - at
    if rest < BLOCK:
        raise Broken("torn tar", "it has no end: the file was cut")
    if content[at : at + BLOCK] != _ZEROS:
        raise Broken("torn tar", f"the header at byte {at} is damaged")
    if rest > PADDING:
        raise Broken("torn tar", f"{rest} bytes follow its end")
    if content[at:].count(0) != rest:
        raise Broken("torn tar", "more data follows its end: is it two tars in one?")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
