"""Files that are whole or absent: written beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from . import bounded
from .errors import StorageError, UserError, storage_fault
from .leaving import removed, undone

PART, BEFORE = ".part-", ".before-"
RANDOM = "[0-9a-f]" * 16
DRAFT = re.compile(f".+{re.escape(PART)}{RANDOM}")
NOT_THROUGH = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

MOST_JSON = 2**28  # bytes: the curves of a search in a model of thousands of layers


def expanded(text: str) -> Path:
    """A path, and what `~` stands for in it."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 (Path's raises)


def draft_of(path: Path) -> Path:
    """A name beside `path` that cannot be somebody else's."""
    return path.with_name(f"{path.name}{PART}{secrets.token_hex(8)}")


def is_draft(name: str) -> bool:
    """Whether a name is one that `draft_of` gives."""
    return DRAFT.fullmatch(name) is not None


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` in place of `path` in one step; a link there is replaced, too.

    Raises:
        StorageError: it cannot be written, for want of room or otherwise; what `path`
            held is still there.
    """
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A draft beside `path` that takes its place when the block ends well, else goes.

    The draft is locked while it is written, so that `drop_left` leaves it alone.

    Raises:
        StorageError: the system refuses it; what was at `path` is still there.
    """
    draft = draft_of(path)
    with removed(draft):
        try:
            with _told(path), draft.open("xb") as file:
                _lock(file.fileno())
                yield file
                file.flush()
                os.fsync(file.fileno())
                draft.replace(path)
                sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):  # there may be no folder that it lies in
                draft.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A draft beside `path` that takes its place when the block ends well, else goes.

    The draft is locked while it is made. One that is not locked was left by a process
    that died, and goes, too.

    Raises:
        StorageError: it cannot be written; what was at `path` is still there.
    """
    draft, handle = draft_of(path), -1
    with removed(draft):
        try:
            with _told(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                _recover(path)
                draft.mkdir()
                handle = os.open(draft, NOT_THROUGH)
                _lock(handle)
            with _filled(draft, path):
                yield draft
            with _told(path):
                _put(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            if handle >= 0:
                os.close(handle)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system refuses is one message about `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(path, error) from None


@contextmanager
def _filled(draft: Path, path: Path) -> Iterator[None]:
    """Where the disk is why a draft cannot be filled, the message names the place that
    it is for; other errors stay what they are."""
    try:
        yield
    except StorageError as error:
        inside = Path(error.where).is_relative_to(draft)
        raise StorageError(path if inside else error.where, error.error) from None
    except Exception as error:
        fault = storage_fault(error)
        if isinstance(error, OSError) and isinstance(error.filename, str):
            fault = error if Path(error.filename).is_relative_to(draft) else fault
        if fault is None and not draft.exists():  # whatever a library makes of that
            fault = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if fault is None:
            raise
        raise StorageError(path, fault) from None


def _put(draft: Path, path: Path) -> None:
    """Put a folder in its place; one that is there goes once the new one is there."""
    before = path.with_name(f"{path.name}{BEFORE}{secrets.token_hex(8)}")
    with undone(lambda: _put_back(before, path)):
        try:
            if path.is_symlink():
                path.unlink()
            elif path.is_dir() and any(path.iterdir()):
                path.rename(before)
            draft.replace(path)
        except BaseException:
            _put_back(before, path)
            raise
    sync_folder(path.parent)
    shutil.rmtree(before, ignore_errors=True)


def _put_back(before: Path, path: Path) -> None:
    """A folder that was moved for another is back, unless the other is there."""
    if before.exists() and not path.exists():
        before.rename(path)


def _lock(handle: int) -> bool:
    """Lock an open file or folder; the lock goes with its owner, however that dies."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody has it, or the file system has no locks
        return False
    return True


def _recover(path: Path) -> None:
    """Put a folder back, where a process died between moving it and putting another
    there; remove the drafts of it that nobody works on any more."""
    name = glob.escape(path.name)
    for before in path.parent.glob(f"{name}{BEFORE}{RANDOM}"):
        _put_back(before, path)
        shutil.rmtree(before, ignore_errors=True)
    drop_left(path.parent, name)


def drop_left(folder: Path, name: str = "*") -> None:
    """Remove the drafts in a folder that died with the processes that made them.

    Args:
        name: pattern of what they were drafts of.
    """
    for left in folder.glob(f"{name}{PART}{RANDOM}"):
        try:
            handle = os.open(left, NOT_THROUGH)
        except OSError:  # it has gone, or is a link
            continue
        if _lock(handle):
            _remove(left)
        os.close(handle)


def _remove(path: Path) -> None:
    """Remove a file or a folder, as far as that can be done."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def drop_drafts(folder: Path) -> None:
    """Remove every draft in a folder that no other process works in."""
    for root, folders, names in os.walk(folder):
        for name in filter(is_draft, [*names, *folders]):
            _remove(Path(root) / name)
        folders[:] = [name for name in folders if not is_draft(name)]


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
