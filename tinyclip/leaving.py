"""How the process leaves when a signal asks it to: what goes first, and what is said.

Only the command line takes the signals (`take_signals`). No exception is raised through
whatever library is at work: there are some that swallow it, or make another error of
it. The process ends where it stands, once everything that was to be undone is undone.
Where a state is worth saving (`gently`), the first signal only asks.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

# a terminal that is closed hangs up
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = 3  # the exit code
SCRATCH = (
    "tempfile.mkdtemp",
    "tempfile.mkstemp",
)  # what libraries make, by audit event

_undo: dict[object, Callable[[], None]] = {}  # the last first
_scratch: set[str] = set()
_commands: list[str] = []  # what goes on with what is left here, the last first
_gentle = 0
_asked = False


def take_signals() -> None:
    """From here on a signal ends the process with `STOPPED` and one line."""
    for kind in SIGNALS:
        if kind == signal.SIGHUP and signal.getsignal(kind) == signal.SIG_IGN:
            continue  # nohup
        signal.signal(kind, _on_signal)
    os.register_at_fork(after_in_child=_forget)
    atexit.register(_ignore)  # first registered, so last: the code is settled by then
    sys.addaudithook(_note_scratch)


def settle(code: int) -> None:
    """The work is done: whatever comes now ends the process with this code."""
    for kind in _taken():
        signal.signal(kind, lambda *_: os._exit(code))


def asked() -> bool:
    """Whether a stop is asked for."""
    return _asked


@contextlib.contextmanager
def gently() -> Iterator[None]:
    """While the block runs, the first signal only asks: somebody looks at `asked`. The
    second ends the process at once."""
    global _gentle
    _gentle += 1
    try:
        yield
    finally:
        _gentle -= 1


@contextlib.contextmanager
def going_on(command: str) -> Iterator[None]:
    """If the process has to leave while the block runs, it names what goes on."""
    _commands.append(command)
    try:
        yield
    finally:
        _commands.pop()


@contextlib.contextmanager
def undone(undo: Callable[[], None]) -> Iterator[None]:
    """Call `undo` if the process has to leave while the block runs."""
    key = object()
    _undo[key] = undo
    try:
        yield
    finally:
        _undo.pop(key, None)


def removed(path: Path) -> contextlib.AbstractContextManager[None]:
    """A file or a folder that goes if the process has to leave while the block runs."""
    return undone(lambda: _remove(path))


def leave(number: int) -> NoReturn:
    """Undo what is to be undone, say so, and end the process."""
    for kind in _taken():
        signal.signal(kind, signal.SIG_IGN)  # nothing stops what is now being undone
    undo = [*reversed(_undo.values())]
    for each in [*undo, *(lambda p=path: _remove(Path(p)) for path in _scratch)]:
        with contextlib.suppress(Exception):
            each()
    goes_on = f". Go on with: {_commands[-1]}" if _commands else ""
    _say(f"stopped ({signal.Signals(number).name}){goes_on}")
    os._exit(STOPPED)


def _on_signal(number: int, _frame: Any) -> None:
    global _asked
    if not _gentle or _asked:
        leave(number)
    _asked = True
    _say(f"stopping after this step ({signal.Signals(number).name})")


def _taken() -> list[signal.Signals]:
    return [kind for kind in SIGNALS if signal.getsignal(kind) != signal.SIG_IGN]


def _say(words: str) -> None:
    """A line on stderr; past its buffer, whose lock may be held just now."""
    with contextlib.suppress(OSError):
        os.write(2, f"tinyclip: {words}\n".encode("utf-8", "backslashreplace"))


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _note_scratch(event: str, args: tuple[Any, ...]) -> None:
    if event in SCRATCH:
        _scratch.add(os.fsdecode(args[0]))


def _ignore() -> None:
    for kind in _taken():
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(kind, signal.SIG_IGN)


def _forget() -> None:
    """A child that was forked has nothing of ours to undo, and dies as others do."""
    _undo.clear()
    _scratch.clear()
    for kind in _taken():
        with contextlib.suppress(ValueError):
            signal.signal(kind, signal.SIG_DFL)
