"""The process's own streams: closed, full, or read by somebody who goes away.

What is written is for somebody who may not be there any more; the work goes on, and
ends with its own code.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

from ..errors import REMEDIES

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # nobody reads it; the terminal is closed


class Outlet(io.FileIO):
    """A stream that nothing that becomes of it stops.

    `failed` is the first error that lost something which somebody waits for.
    """

    failed: OSError | None = None

    def write(self, content: Any) -> int:
        """All of it is written, or nothing more ever is."""
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in GONE and self.failed is None:
                self.failed = error
            return memoryview(content).nbytes


def hold() -> Outlet:
    """Put streams in place that hold whatever happens; returns stdout's end.

    A descriptor that is closed is opened on nothing, before a file of ours gets its
    number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    outlet = Outlet(1, "w", closefd=False)
    sys.stdout = sys.__stdout__ = _text(outlet, sys.stdout)  # type: ignore[misc]
    errors = Outlet(2, "w", closefd=False)
    sys.stderr = sys.__stderr__ = _text(errors, sys.stderr)  # type: ignore[misc]
    return outlet


def _text(outlet: Outlet, before: TextIO | None) -> io.TextIOWrapper:
    """A text stream as the one before; letters that its encoding lacks are spelt."""
    return io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=getattr(before, "line_buffering", False),
        write_through=getattr(before, "write_through", False),
    )


def lost(outlet: Outlet) -> str:
    """What to say of a report that could not be written; "" if it could."""
    sys.stdout.flush()
    if outlet.failed is None:
        return ""
    todo = REMEDIES.get(outlet.failed.errno or 0, "Send it elsewhere")
    return f"stdout: cannot be written ({outlet.failed.strerror}). {todo}"
