"""Files that somebody else wrote: regular ones, and no larger than such a file can be.

A pipe or a device where a file is expected never ends, a few bytes of gzip are
gigabytes, and JSON of a hundred thousand brackets ends the interpreter's stack: none of
that is begun.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

from .errors import UserError

SETTINGS = 2**24  # bytes of a file of settings
DEPTH = 64  # of values in each other
PIECE = 2**20


class Refused(OSError):
    """A file that is not read, though the system would; `strerror` says why."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(number, why)


def open_regular(path: Path | str) -> BufferedReader:
    """A file, opened for reading its bytes.

    Raises:
        Refused: it is a pipe, a device or a socket.
        OSError: the system refuses.
        ValueError: no path has such characters.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise Refused(
                errno.EINVAL, "it is no regular file, but a pipe, a device or a socket"
            )
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: Path | str, most: int = SETTINGS) -> bytes:
    """The bytes of a regular file.

    Raises:
        Refused: it is none, or holds more than `most` bytes.
        OSError: the system refuses.
        ValueError: no path has such characters.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= most else b""
    if size > most or len(content) > most:
        raise Refused(errno.EFBIG, f"{max(size, len(content))} bytes; {most} at most")
    return content


def gunzip(content: bytes, most: int) -> bytes:
    """What gzip packed, one stream or several.

    Raises:
        ValueError: it is damaged or cut, or more than `most` bytes.
    """
    pieces, size = [], 0
    if not content:
        raise ValueError("is not gzip: it is empty")
    while content:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not stream.eof:
            try:
                piece = stream.decompress(content, PIECE)
            except zlib.error as error:
                raise ValueError(f"is not gzip: {error}") from None
            if not piece and not stream.unconsumed_tail and not stream.eof:
                raise ValueError("is not a whole gzip file")
            size += len(piece)
            if size > most:
                raise ValueError(f"unpacks to more than {most} bytes")
            pieces.append(piece)
            content = stream.unconsumed_tail
        content = stream.unused_data.lstrip(b"\0")
    return b"".join(pieces)


def json_value(content: bytes) -> Any:
    """What a text of JSON says.

    Raises:
        ValueError: it is no JSON in UTF-8, or nested more than `DEPTH` deep.
    """
    try:
        value = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    layer, depth = [value], 1
    while layer := [inner for outer in layer for inner in _inside(outer)]:
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} deep")
    return value


def _inside(value: Any) -> Any:
    """The lists and objects right inside of a value."""
    inner = value.values() if isinstance(value, dict) else value
    return (
        [each for each in inner if isinstance(each, dict | list)]
        if isinstance(value, dict | list)
        else []
    )


def read_json(path: Path, todo: str = "Restore it") -> Any:
    """The value in a JSON file that somebody else may have written.

    Args:
        todo: what to do about one that is damaged.

    Raises:
        UserError: it is missing, no regular file, too large, no JSON, or too deep.
    """
    try:
        return json_value(read_bytes(path))
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})", todo) from None
    except ValueError as error:
        raise UserError(str(path), f"is not valid JSON ({error})", todo) from None


def read_settings(path: Path, todo: str = "Restore it") -> dict[str, Any]:
    """The object in a JSON file, as `read_json`.

    Raises:
        UserError: as there, or it holds something else.
    """
    value = read_json(path, todo)
    if not isinstance(value, dict):
        raise UserError(str(path), "holds no settings", todo)
    return value
