"""The chunks of a PNG: checksums of those that are used, and the way around the others.

A PNG is a signature and chunks, each of a length, a name, bytes and a CRC-32 (PNG
specification, third edition, §5).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from .broken import Broken

SIGNATURE = 8  # bytes
USED = frozenset((b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"eXIf"))
WORDS = frozenset((b"iCCP", b"tEXt", b"zTXt", b"iTXt"))  # profiles and texts
XMP = b"XML:com.adobe.xmp"  # may say how a picture is turned, as EXIF does
EXIF = b"Raw profile type exif"
LARGEST_TURN = 2**24  # bytes of one of these two, unpacked


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Name, bytes and stated checksum of each chunk, up to the end or a cut."""
    at = SIGNATURE
    while at + 12 <= len(content):
        name = content[at + 4 : at + 8]
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        stated = int.from_bytes(content[end : end + 4], "big")
        yield name, content[at + 8 : end], stated
        if name == b"IEND":
            return
        at = end + 4


def check_png(content: bytes) -> None:
    """Compare the checksums of what is used of a PNG, which Pillow does not.

    Raises:
        Broken: one is wrong.
    """
    for name, body, stated in chunks(content):
        if name in USED and zlib.crc32(body, zlib.crc32(name)) != stated:
            raise Broken("damaged", f"the checksum of {name.decode()} is wrong")


def without_words(content: bytes) -> bytes:
    """A PNG without its colour profile and texts, however long these are.

    Pillow refuses a file whose texts take over 1 MB unpacked, and no pixel depends on
    them. What says how the picture is turned stays.
    """
    parts = [content[:SIGNATURE]]
    for name, body, stated in chunks(content):
        if name not in WORDS:
            parts.append(_chunk(name, body, stated))
        elif (kept := _turn(name, body)) is not None:
            parts.append(_chunk(*kept, zlib.crc32(kept[1], zlib.crc32(kept[0]))))
    return b"".join(parts)


def _chunk(name: bytes, body: bytes, crc: int) -> bytes:
    return b"".join((struct.pack(">I", len(body)), name, body, struct.pack(">I", crc)))


def _turn(name: bytes, body: bytes) -> tuple[bytes, bytes] | None:
    """A text that may say how the picture is turned, unpacked; None for another."""
    key, _, rest = body.partition(b"\0")
    try:
        if (name, key) == (b"iTXt", XMP):
            packed, text = rest[0], rest[2:].split(b"\0", 2)[2]
            return name, key + bytes(5) + (_unpacked(text) if packed else text)
        if (name, key) == (b"zTXt", EXIF):
            return b"tEXt", key + b"\0" + _unpacked(rest[1:])
    except (IndexError, ValueError, zlib.error):
        return None
    return (name, body) if key == EXIF else None


def _unpacked(packed: bytes) -> bytes:
    """Raises `ValueError` where it would be larger than `LARGEST_TURN`."""
    stream = zlib.decompressobj()
    text = stream.decompress(packed, LARGEST_TURN)
    if stream.unconsumed_tail:
        raise ValueError("too large")
    return text
