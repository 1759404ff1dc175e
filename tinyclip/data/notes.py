"""What is said of a data set: once, however often a run opens it."""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger("tinyclip")


@cache
def note(text: str) -> None:
    """Say something of a source that is no fault of it, but should be known."""
    log.warning("%s", text)


def number_of(count: int, one: str, several: str) -> str:
    """A number and what is counted: ``1 field begins``, ``2 fields begin``."""
    return f"{count} {one if count == 1 else several}"
