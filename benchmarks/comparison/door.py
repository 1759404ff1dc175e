"""How the scripts of comparisons end: whole, stopped, or with one message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tinyclip.errors import Interrupted, UserError
from tinyclip.leaving import gently


@contextmanager
def plainly() -> Iterator[None]:
    """Being asked to stop, and what a user got wrong, end the process in a line."""
    try:
        with gently():
            yield
    except Interrupted as stopped:
        raise SystemExit(f"{stopped.what}. The same command goes on") from None
    except UserError as error:
        raise SystemExit(str(error)) from None
