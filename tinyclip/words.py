"""Figures as a person reads them."""

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
