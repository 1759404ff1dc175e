"""What is kept for later in the user's cache folder: indices of tars, shards of pipes.

A file there is whole or absent. It is locked while it is written, so that whoever comes
next knows what a process that died has left, and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from ..files import make_folder
from ..leaving import removed

DRAFT = re.compile(r".+\.part-[0-9a-f]{16}")
FRESH = 60.0  # seconds in which a draft may not be locked yet

_looking: ContextVar[bool] = ContextVar("looking", default=False)


def cache_folder(kind: str) -> Path:
    """Where things of a kind are kept: ``tinyclip/KIND`` of the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "tinyclip" / kind


@contextlib.contextmanager
def looking() -> Iterator[None]:
    """While the block runs, data are only looked at: nothing is kept of them, and no
    command is run to have them."""
    before = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(before)


def only_looking() -> bool:
    """Whether nothing may be kept, and no command be run."""
    return _looking.get()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A draft beside `path` that takes its place when the block ends well, else goes.

    Raises:
        StorageError: its folder cannot be made.
        OSError: it cannot be written.
    """
    make_folder(path.parent)
    _drop_left(path.parent)
    draft = path.with_name(f"{path.name}.part-{secrets.token_hex(8)}")
    with removed(draft):
        try:
            with draft.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
                file.flush()
                os.fsync(file.fileno())
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _drop_left(folder: Path) -> None:
    """Remove the drafts that nobody works on any more."""
    for left in folder.iterdir():
        if DRAFT.fullmatch(left.name):
            with contextlib.suppress(OSError):  # somebody is at work there
                _drop(left)


def _drop(left: Path) -> None:
    handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(handle).st_mtime > FRESH:
            left.unlink()
    finally:
        os.close(handle)
