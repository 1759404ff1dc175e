"""One process works in a run's folder at a time.

The lock is the kernel's own (`flock`) on a file in the run, so it goes when its owner
does, however that one died. What the file says is for people, and for file systems
whose locks do not reach from one host to another.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import StorageError, UserError
from ..leaving import removed

log = logging.getLogger("tinyclip")
LOCK = "lock.json"
# a link there would be somebody else's file
FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Own a run's folder, which exists, while the block runs.

    Raises:
        UserError: another process owns it (the message says which), or the folder
            cannot be written.
    """
    path = folder / LOCK
    try:
        handle = os.open(path, FLAGS, 0o644)
    except OSError as error:
        raise StorageError(folder, error) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UserError(str(path), "is no regular file", "Remove it")
        owner = _owner(handle)
        _take(handle, owner, folder)
        if owner is not None:
            log.warning(
                "%s: the lock of %s is stale; taken over",
                folder,
                _owner_in_words(owner),
            )
        _write(handle, path)
        with removed(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _take(handle: int, owner: dict[str, Any] | None, folder: Path) -> None:
    """Lock the open file.

    Raises:
        UserError: it is locked, or left by a process of another host.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(
            str(folder),
            f"is in use by {_owner_in_words(owner)} ({error.strerror})",
            "Wait for it, stop it, or name another folder with --out",
        ) from None
    if owner is not None and owner.get("host") != socket.gethostname():
        # its lock may not be visible from here
        raise UserError(
            str(folder),
            f"was left locked by {_owner_in_words(owner)}, another host",
            f"If that process is gone, remove {folder / LOCK}",
        )


def _owner(handle: int) -> dict[str, Any] | None:
    """Who wrote the file last and did not remove it, if anybody."""
    content = os.pread(handle, 4096, 0)
    if not content:
        return None
    try:
        owner = json.loads(content)
    except (ValueError, RecursionError):
        owner = None
    return owner if isinstance(owner, dict) else {}


def _owner_in_words(owner: dict[str, Any] | None) -> str:
    if not owner:
        return "another process"
    return (
        f"process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}"
    )


def _write(handle: int, path: Path) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(owner).encode(), 0)
    if not path.exists() or path.stat().st_ino != os.fstat(handle).st_ino:
        # the owner before removed the file between our open and our lock
        raise UserError(str(path.parent), "was in use a moment ago", "Try again")
