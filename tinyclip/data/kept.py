"""What is kept in the user's cache folder: indices of tars, shards of pipes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

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
