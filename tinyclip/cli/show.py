"""What goes to which stream: reports to stdout, complaints to stderr.

Names are data: no text is markup, and what a terminal would obey is spelt out.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ..quoting import plain

if TYPE_CHECKING:
    from rich.table import Table


class PlainFormatter(logging.Formatter):
    """The log's lines, of which nothing is obeyed by a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


@contextlib.contextmanager
def log_on_stderr() -> Iterator[None]:
    """What the log warns of goes to stderr, as it is, where nobody else takes it."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(message)s"))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def print_json(value: Any) -> None:
    """Print a value as one JSON object on stdout, where nothing else may go then."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has escapes of its own for these
        text = json.dumps(value, indent=2)
    print(text)


def tell_entries(entries: dict[str, str], as_json: bool) -> None:
    """Names and what each is, a line each, or as JSON on stdout."""
    if as_json:
        print_json(entries)
        return
    width = max(map(len, entries))
    for name, words in entries.items():
        tell(f"{name:{width}}  {words}")


def tell(text: str) -> None:
    """A line of a report, on stdout; not broken where the terminal ends, so that it
    can be pasted."""
    print(plain(text))


def say(line: str) -> None:
    """What is being done just now, on stderr."""
    print(plain(line), file=sys.stderr, flush=True)


def show_table(table: Table, width: int) -> None:
    """Print a table on stdout, as wide as the terminal, or `width` elsewhere."""
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(plain(text), **options)

        def on_broken_pipe(self) -> NoReturn:
            raise  # rich would end the process, and close stdout for whoever called us

    terminal = Plain().is_terminal
    console = Plain(
        width=None if terminal else width, markup=False, emoji=False, highlight=False
    )
    console.print(table)


def percent(value: float | None) -> str:
    """A share as people read it; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def complain(message: str, code: int = 2) -> int:
    """Print a message on stderr; returns the exit code that goes with it."""
    print(f"tinyclip: {plain(message)}", file=sys.stderr)
    return code
