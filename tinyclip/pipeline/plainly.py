"""What the machine has no more of is told as one message, whatever library met it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import (
    Interrupted,
    StorageError,
    TinyclipError,
    UserError,
    memory_ends,
    storage_fault,
)

LESS = (
    "Give it more, or take less: a smaller batch (--set 'stages[*].batch=16'), a batch "
    "in pieces (--set 'stages[*].accumulate=4'), or --set recompute=true"
)


@contextmanager
def told_plainly(folder: Path, go_on: str = "", memory: str = LESS) -> Iterator[None]:
    """Say what ended the block so that whoever reads it knows what to do.

    Args:
        folder: what is written to.
        go_on: the line that goes on with it, if one does.
        memory: what to do where memory ends.

    Raises:
        UserError: there is no more room or memory, or the folder went away.
        Interrupted: asked to stop.
    """
    try:
        yield
    except Interrupted as stopped:
        raise Interrupted(stopped.what, stopped.command or go_on) from None
    except StorageError as error:
        raise _with_line(error, go_on) from None
    except TinyclipError:
        raise
    except Exception as error:
        fault = storage_fault(error) or _of_folder(error, folder)
        if fault is not None:
            told: UserError = StorageError(fault.filename or folder, fault)
        elif memory_ends(error):
            told = UserError("memory", "there is no more of it", memory)
        else:
            raise
        raise _with_line(told, go_on) from None


def _with_line(error: UserError, go_on: str) -> UserError:
    todo = f"{error.todo}. Go on with: {go_on}" if go_on else error.todo
    return UserError(error.where, error.what, todo)


def _of_folder(error: BaseException, folder: Path) -> OSError | None:
    """The error, if it is the system's about a path in the folder."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    if error.errno in (errno.EINTR, errno.ENOMEM):
        return None
    path = Path(os.fsdecode(error.filename)).absolute()
    return error if path.is_relative_to(folder.absolute()) else None
