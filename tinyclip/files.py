"""Files that are whole or absent: written beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

from . import bounded
from .errors import StorageError, UserError

MOST_JSON = 2**28  # bytes: the curves of a search in a model of thousands of layers


def expanded(text: str) -> Path:
    """A path, and what `~` stands for in it."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 (Path's raises)


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` in place of `path` in one step.

    Raises:
        StorageError: it cannot be written, for want of room or otherwise; what `path`
            held is still there.
    """
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # there may be no folder that it lies in
            draft.unlink()
        raise StorageError(path, error) from None
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """The folder, and those that it lies in, where they are not there yet.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(folder, error) from None


def refuse_unwritable(folder: Path) -> None:
    """Tell before the work that a folder could not be made, or written to.

    Raises:
        StorageError: it lies in a file, or where nothing may be written.
    """
    try:
        nearest = folder.absolute()
        while not nearest.exists():
            nearest = nearest.parent
        reason = errno.ENOTDIR if not nearest.is_dir() else errno.EACCES
        if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
            raise OSError(reason, os.strerror(reason))
    except OSError as error:
        raise StorageError(folder, error) from None


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, keys sorted, so that equal values are equal bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_regular(path: Path, most: int | None = None) -> bytes:
    """What a file holds; nothing is waited for, and nothing without an end is read.

    Args:
        most: bytes that it may hold.

    Raises:
        UserError: it is missing, is a pipe or a device, or holds more.
    """
    try:
        if most is not None:
            return bounded.read_bytes(path, most)
        with bounded.open_regular(path) as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        reason = getattr(error, "strerror", None) or error
        raise UserError(str(path), f"cannot be read ({reason})") from None


def read_json(path: Path, todo: str = "Restore it, or redo the stage") -> Any:
    """The value that a JSON file holds.

    Args:
        todo: what to do about a damaged file.

    Raises:
        UserError: it is missing, no JSON, too large or nested too deeply.
    """
    try:
        return bounded.json_value(read_regular(path, MOST_JSON))
    except ValueError as error:
        raise UserError(str(path), f"is not valid JSON ({error})", todo) from None
