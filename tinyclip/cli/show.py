"""What goes to which stream: reports to stdout, complaints to stderr."""

from __future__ import annotations

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    """Print a value as one JSON object on stdout, where nothing else may go then."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def say(line: str) -> None:
    """What is being done just now, on stderr."""
    print(line, file=sys.stderr, flush=True)


def percent(value: float | None) -> str:
    """A share as people read it; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def complain(message: str, code: int = 2) -> int:
    """Print a message on stderr; returns the exit code that goes with it."""
    print(f"tinyclip: {message}", file=sys.stderr)
    return code
