"""Figures and plain values as a person reads them."""

from __future__ import annotations

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def rounded(count: float, full: float = 1e3) -> str:
    """12,345,678 as 12.35 M.

    Args:
        full: below this a number is written in full.
    """
    for limit, unit in UNITS:
        if count >= max(limit, full):
            return f"{count / limit:.2f} {unit}"
    return f"{count:,.0f}"


def amount(count: float, unit: str) -> str:
    """So much of a unit: `12.35 M parameters`, `12.35 MB`, `9,800 B`."""
    text = rounded(count, full=1e6)
    joined = unit == "B" and text[-1].isalpha()
    return f"{text}{unit}" if joined else f"{text} {unit}"


def on_a_line(value: object) -> str:
    """A plain value in words: of a list and of a table what is in them, of a table
    nothing of what is not known."""
    if isinstance(value, list):
        return ", ".join(map(on_a_line, value))
    if not isinstance(value, dict):
        return str(value)
    known = ((name, each) for name, each in value.items() if each is not None)
    return ", ".join(
        f"{name} ({on_a_line(each)})"
        if isinstance(each, dict)
        else f"{name} {on_a_line(each)}"
        for name, each in known
    )
