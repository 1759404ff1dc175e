"""What goes to which stream: reports to stdout, complaints to stderr."""

from __future__ import annotations

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    """Print a value as one JSON object on stdout, where nothing else may go then."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def complain(message: str, code: int = 2) -> int:
    """Print a message on stderr; returns the exit code that goes with it."""
    print(f"tinyclip: {message}", file=sys.stderr)
    return code
