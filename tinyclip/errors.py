"""What can go wrong, told so that the reader knows what to do.

    TinyclipError
    ├── UserError      the input is wrong (exit 2): where, what, what to do
    │   └── StorageError   a file cannot be written
    └── Interrupted    the run was asked to stop and saved its state (exit 3)

Everything else that escapes is a bug of ours (exit 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
        self.where, self.what, self.todo = where, what, todo
        super().__init__(f"{where}: {what}" + (f". {todo}" if todo else ""))


class StorageError(UserError):
    """A file cannot be written: the disk is full, or may not be written to.

    Args:
        path: the file.
        why: the system's own words.
    """

    def __init__(self, path: object, why: str | None) -> None:
        super().__init__(
            str(path),
            f"cannot be written ({why})",
            "Make room there; what was written before is whole",
        )


class Interrupted(TinyclipError):
    """The run was asked to stop; its state is saved and `command` goes on."""

    exit_code = 3

    def __init__(self, what: str, command: str = "") -> None:
        self.what, self.command = what, command
        super().__init__(f"{what}. Go on with: {command}" if command else what)


def nearest(name: object, options: Iterable[str]) -> str:
    """``Did you mean 'heads'?``, or the list of what exists when nothing is near."""
    known = sorted(options)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"Known: {shown}"
