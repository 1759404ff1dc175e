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
import os
import re
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
        self.error = error
        super().__init__(
            str(path),
            f"cannot be written ({error.strerror or error})",
            REMEDIES.get(error.errno or 0, ELSEWHERE),
        )


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# what libraries say where memory ends, in place of a MemoryError
MEMORY = re.compile(
    r"can't allocate memory|not enough memory|[Cc]annot allocate memory|bad_alloc|"
    r"can't start new thread|out of memory|STATUS_ALLOC_FAILED|os error 12\b|"
    r"[Ff]ailed to allocate|failed to map segment"
)


def storage_fault(error: BaseException) -> OSError | None:
    """The system's reason, where an error of whatever library says that a disk takes no
    more; None where it says something else."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in FULL:
            return seen
        # a library that is not Python's has the number in its words
        told = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(seen))
        number = int(told[1] or told[2]) if told else 0
        if number in FULL:
            return OSError(number, os.strerror(number))
        seen = seen.__cause__ or seen.__context__
    return None


def memory_ends(error: BaseException) -> bool:
    """Whether an error says that memory ends, the machine's or a GPU's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # of onnxruntime and safetensors, which have roots of their own
    named = type(error).__name__ in ("RuntimeException", "SafetensorError")
    spoken = named or isinstance(error, RuntimeError | ImportError)
    return spoken and bool(MEMORY.search(str(error)))


def refusal(error: BaseException) -> UserError | None:
    """What to tell of memory or of a disk that ends, or of a path that the system
    refuses; None where it is something else."""
    if memory_ends(error):
        todo = "Give it more, or take a smaller model or fewer data"
        return UserError("memory", "there is no more of it", todo)
    if not (isinstance(error, OSError) and isinstance(error.filename, str | bytes)):
        full = storage_fault(error)
        return None if full is None else StorageError("the disk", full)
    return UserError(
        os.fsdecode(error.filename),
        f"cannot be used ({error.strerror or error})",
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
