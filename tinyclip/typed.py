"""The kinds of values that a JSON file of ours must hold, and what is wrong where it
holds others.

A kind is `str`, `bool`, `int` (never negative), `float` (any finite number), `[kind]` a
list of them, `{str: kind}` a table of any names, `{"name": kind, ...}` a table with
these names at least, or `Maybe(kind)`: null or absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a number of things",
    float: "a number",
}


@dataclass(frozen=True)
class Maybe:
    """A value that may be null or absent."""

    kind: Any


def misfit(value: Any, kind: Any, at: str = "") -> str:
    """What is wrong with a value, `images.rows: wants a number of things, not -1`, or
    nothing where it is of the kind."""
    return next(_misfits(value, kind, at), "")


def _misfits(value: Any, kind: Any, at: str) -> Iterator[str]:
    if isinstance(kind, Maybe):
        if value is not None:
            yield from _misfits(value, kind.kind, at)
    elif isinstance(kind, list):
        yield from _in_list(value, kind[0], at)
    elif isinstance(kind, dict):
        yield from _in_table(value, kind, at)
    elif not _is(value, kind):
        yield _wants(WORDS[kind], value, at)


def _is(value: Any, kind: type) -> bool:
    """Whether a plain value is of a plain kind."""
    if kind in (int, float):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if kind is float:
            return number and _is_finite(value)
        return number and isinstance(value, int) and 0 <= value < 2**63
    return isinstance(value, kind)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _in_list(value: Any, kind: Any, at: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _wants("a list", value, at)
        return
    for place, inner in enumerate(value):
        yield from _misfits(inner, kind, f"{at}[{place}]")


def _in_table(value: Any, kinds: dict[Any, Any], at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _wants("a table", value, at)
        return
    inside = f"{at}." if at else ""
    if str in kinds:
        for name, inner in value.items():
            yield from _misfits(inner, kinds[str], f"{inside}{name}")
        return
    for name, kind in kinds.items():
        if name not in value and not isinstance(kind, Maybe):
            yield f"{inside}{name} is missing"
        yield from _misfits(value.get(name), kind, f"{inside}{name}")


def _wants(words: str, value: Any, at: str) -> str:
    text = repr(value)
    shown = text if len(text) < 40 else f"{text[:36]} ..."
    return f"{at + ': ' if at else ''}wants {words}, not {shown}"
