"""What can go wrong, told so that the reader knows what to do.

    TinyclipError
    ├── UserError      the input is wrong (exit 2): where, what, what to do
    │   └── StorageError   a file or a folder cannot be written
    └── Interrupted    the run was asked to stop and saved its state (exit 3)

Everything else that escapes is a bug of ours (exit 1).
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

from .quoting import one_line

MOST = 2_000  # characters of either half: what strangers wrote has any length


class TinyclipError(Exception):
    """The root of every error that tinyclip raises on purpose."""

    exit_code = 1


class UserError(TinyclipError):
    """The user's input is wrong.

    Args:
        where: the option, file or key that is wrong.
        what: what is wrong with it.
        todo: what to do about it.
    """

    exit_code = 2

    def __init__(self, where: str, what: str, todo: str = "") -> None:
        where, what = _shortened(where), _shortened(what)
        self.where, self.what, self.todo = where, what, todo
        name = one_line(where)  # it may hold what makes several lines of one
        super().__init__(f"{name}: {what}" + (f". {todo}" if todo else ""))


def _shortened(text: str) -> str:
    """A text without its middle, where it is too long to be read."""
    half = MOST // 2
    return text if len(text) <= MOST else f"{text[:half]} ... {text[-half:]}"


ELSEWHERE = "Name another place"
REMEDIES = {  # what to do about each of the system's reasons
    errno.ENOSPC: "Make room there; what was written before is whole",
    errno.EDQUOT: "Your quota is used up: make room; what was written before is whole",
    errno.EFBIG: "Files may not grow so large there: raise the limit (ulimit -f)",
    errno.ENOENT: "There is no such folder: make it, or name another place",
    errno.ENOTDIR: "A file lies where a folder is wanted: name another place",
    errno.EISDIR: "A folder of that name is in the way: name another place",
    errno.EEXIST: "A file of that name is in the way: name another place",
    errno.EACCES: "You are not allowed to write there: name another place",
    errno.EPERM: "You are not allowed to write there: name another place",
    errno.EROFS: "Nothing can be written to that disk: name another place",
    errno.EIO: "The disk does not work: name another place",
    errno.ENAMETOOLONG: "Name a shorter one",
}


class StorageError(UserError):
    """A file or a folder cannot be written, and what to do follows from the reason.

    Args:
        path: the file or folder.
        error: the system's.
    """

    def __init__(self, path: object, error: OSError) -> None:
        super().__init__(
            str(path),
            f"cannot be written ({error.strerror or error})",
            REMEDIES.get(error.errno or 0, ELSEWHERE),
        )


class Interrupted(TinyclipError):
    """The run was asked to stop; its state is saved and `command` goes on."""

    exit_code = 3

    def __init__(self, what: str, command: str = "") -> None:
        self.what, self.command = what, command
        super().__init__(f"{what}. Go on with: {command}" if command else what)


def nearest(name: object, options: Iterable[str]) -> str:
    """``Did you mean 'heads'?``, or the list of what exists when nothing is near."""
    names = sorted(options)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"Known: {shown}"
