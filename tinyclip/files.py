"""Files that are whole or absent: written beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

from .errors import StorageError, UserError
from .leaving import removed


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
    with removed(draft):
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


def read_json(path: Path) -> Any:
    """The value that a JSON file holds.

    Raises:
        UserError: it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(
            str(path), f"is not valid JSON ({error})", "Restore it, or redo the stage"
        ) from None
