"""A verb run in this process: what it said, and whether it may have said it."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path

from tinyclip.cli.main import main
from tinyclip.errors import UserError
from tinyclip.quoting import OBEYED

DONE, WRONG_INPUT = 0, 2


def run_verb(folder: Path, *words: str) -> str:
    """What a verb prints on stdout, as `both_of`."""
    return both_of(folder, *words)[0]


def both_of(folder: Path, *words: str) -> tuple[str, str]:
    """What a verb prints on stdout, and what on stderr.

    Args:
        folder: where what it prints is caught.

    Raises:
        UserError: it ends with 2 and one message.
        AssertionError: it ends otherwise, or prints what a terminal obeys.
    """
    caught = {name: folder / f"{name}.caught" for name in ("out", "err")}
    with contextlib.ExitStack() as stack:
        opened = {
            name: stack.enter_context(path.open("w", errors="surrogateescape"))
            for name, path in caught.items()
        }
        stack.enter_context(contextlib.redirect_stdout(opened["out"]))
        stack.enter_context(contextlib.redirect_stderr(opened["err"]))
        logging.disable(logging.NOTSET)
        code = main(list(words))
    logging.disable(logging.WARNING)
    texts = {
        name: path.read_text(errors="surrogateescape") for name, path in caught.items()
    }
    for path in caught.values():
        path.unlink()
    return judged(code, texts["out"], texts["err"]), texts["err"]


def judged(code: int, out: str, err: str) -> str:
    """As `run_verb`, of a process that has ended."""
    assert "Traceback" not in err, err[-300:]
    obeyed = OBEYED.search(out + err)
    assert obeyed is None, f"prints {obeyed[0]!r}"
    message = next((line for line in err.splitlines() if "error: " in line), "")
    if code == WRONG_INPUT:
        where, colon, what = message.partition("error: ")[2].partition(": ")
        assert colon, f"no message: {err[-300:]!r}"
        raise UserError(where, what[:400])
    assert code == DONE, f"exit {code}: {err[-300:]}"
    return out


def in_process(folder: Path, *words: str, seconds: int = 300) -> str:
    """As `run_verb`, as a process of its own, which may hang."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "tinyclip", *words],
        capture_output=True,
        timeout=seconds,
        cwd=folder,
        text=True,
        errors="surrogateescape",
    )
    return judged(done.returncode, done.stdout, done.stderr)
