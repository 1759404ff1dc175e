"""The headers of a tar: what each says, and what stands before a member's own.

Every number is checked before anything follows from it, so that reading goes forward by
a block at least whatever a header says, and ends with the file.
"""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

from .broken import Broken

BLOCK = 512
LONGEST = 2**20  # bytes of an extended header: a name, or records of PAX
MOST = 32  # extended headers before one member; writers make three
REGULAR = (b"0", b"\0", b"7")
SPARSE = b"S"
BARE = tuple(b"%d" % kind for kind in range(1, 7))  # links, devices, folders: no data
NAME, LINK = b"L", b"K"  # GNU's long names
LOCAL, GLOBAL = (b"x", b"X"), b"g"  # PAX
EXTENDED = (NAME, LINK, GLOBAL, *LOCAL)
_SIGNED = struct.Struct("148b8x356b")

Records = dict[bytes, bytes]  # of PAX, by keyword


class Header(NamedTuple):
    """One block: what kind of member it begins, its own name, bytes behind it."""

    kind: bytes
    name: bytes
    size: int


class Entry(NamedTuple):
    """A member with all that its extended headers say; `end` is where the next begins.

    Args:
        kind: regular and sparse ones have data.
    """

    kind: bytes
    name: bytes
    offset: int
    size: int
    end: int


def padded(size: int) -> int:
    """Bytes that so many take up in a tar."""
    return -(-size // BLOCK) * BLOCK


def is_header(content: mmap.mmap, at: int) -> bool:
    """Whether a block's checksum is right: some writers count bytes as signed."""
    head = content[at : at + BLOCK]
    if len(head) < BLOCK or not any(head):
        return False
    try:
        stated = number(head[148:156])
    except ValueError:
        return False
    # the checksum counts its own eight bytes as spaces
    return stated - 8 * 32 in (
        sum(head) - sum(head[148:156]),
        sum(_SIGNED.unpack(head)),
    )


def number(field: bytes) -> int:
    """Octal digits, or in the first bit the mark of base 256.

    Raises:
        ValueError: it is neither, or negative.
    """
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise ValueError("negative")
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise ValueError("no octal digits")
    return int(digits or b"0", 8)


def header_at(content: mmap.mmap, at: int) -> Header:
    """The header in a block; raises `Broken` where it is damaged."""
    if not is_header(content, at):
        raise Broken("torn tar", f"the header at byte {at} is damaged")
    head = content[at : at + BLOCK]
    kind, name = head[156:157], head[:100].split(b"\0", 1)[0]
    if kind == b"\0" and name.endswith(b"/"):  # as tars before POSIX have folders
        kind = b"5"
    if head[257:263] == b"ustar\0" and head[345]:
        name = head[345:500].split(b"\0", 1)[0] + b"/" + name
    try:
        return Header(kind, name, number(head[124:136]))
    except ValueError as error:
        raise Broken(
            "torn tar", f"the header at byte {at} states no size ({error})"
        ) from None


def entry_at(content: mmap.mmap, at: int, shared: Records) -> Entry:
    """The member that begins here, behind any extended headers.

    Of several that say the same the first counts, as in `tarfile`.

    Args:
        shared: what global headers have said of all members; what is new comes in.

    Raises:
        Broken: a header is damaged, or there are too many before one member.
    """
    own: Records = {}
    head = header_at(content, at)
    for _ in range(MOST):
        if head.kind not in EXTENDED:
            return _entry(content, at, head, {**shared, **own})
        words = _words(content, at, head)
        if head.kind == NAME:
            own.setdefault(b"path", words.split(b"\0", 1)[0])
        elif head.kind in LOCAL:
            own = {**records(words, at), **own}
        elif head.kind == GLOBAL:
            shared.update(records(words, at))
        at += BLOCK + padded(head.size)
        head = header_at(content, at)
    raise Broken("torn tar", f"{MOST} extended headers in a row end at byte {at}")


def _words(content: mmap.mmap, at: int, head: Header) -> bytes:
    """What an extended header says; raises `Broken` where that cannot be."""
    if head.size > LONGEST:
        raise Broken(
            "torn tar",
            f"the extended header at byte {at} has {head.size} bytes; the limit is "
            f"{LONGEST}",
        )
    words = content[at + BLOCK : at + BLOCK + head.size]
    if len(words) < head.size:
        raise Broken("torn tar", f"it ends inside of the extended header at byte {at}")
    return words


def records(words: bytes, at: int) -> Records:
    """Records of PAX: ``27 path=a name in UTF-8\\n``, with its length in front.

    Raises:
        Broken: the lengths are not those of the records.
    """
    found: Records = {}
    place = 0
    while place < len(words) and words[place]:
        space = words.find(b" ", place, place + 9)
        length = words[place : max(space, place)]
        end = place + int(length) if length.isdigit() else place
        keyword, equals, value = words[space + 1 : end].partition(b"=")
        if not (keyword and equals and value.endswith(b"\n") and end <= len(words)):
            raise Broken("torn tar", f"the PAX records at byte {at} are damaged")
        found[keyword], place = value[:-1], end
    return found


def _entry(content: mmap.mmap, at: int, head: Header, said: Records) -> Entry:
    """A member by its own header, and what is said of it before."""
    size = head.size
    if b"size" in said:
        if not said[b"size"].isdigit() or len(said[b"size"]) > 19:
            raise Broken("torn tar", f"PAX records before byte {at} state no size")
        size = int(said[b"size"])
    name, kind, offset = said.get(b"path") or head.name, head.kind, at + BLOCK
    if kind == SPARSE:
        offset = _behind_map(content, at)
    elif any(keyword.startswith(b"GNU.sparse.") for keyword in said):
        name, kind = said.get(b"GNU.sparse.name", name), SPARSE
    end = offset + (0 if kind in BARE else padded(size))
    return Entry(kind, name.rstrip(b"/"), offset, size, end)


def _behind_map(content: mmap.mmap, at: int) -> int:
    """Where the data of GNU's sparse member begins: behind blocks of its map."""
    more = content[at + 482 : at + 483]
    offset = at + BLOCK
    while more not in (b"\0", b""):
        more = content[offset + 504 : offset + 505]
        offset += BLOCK
    return offset
