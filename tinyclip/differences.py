"""What is not the same in two tables of plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], absent: Any = None
) -> list[tuple[str, Any, Any]]:
    """Each value that is not the same, by its path, as it was and is.

    Tables inside tables are looked into (`data.source`), and lists of tables
    (`stages[0].batch`). What one side lacks is `absent` there.
    """
    old, new = dict(_leaves(before, "")), dict(_leaves(now, ""))
    return [
        (path, old.get(path, absent), new.get(path, absent))
        for path in sorted({*old, *new})
        if old.get(path, absent) != new.get(path, absent)
    ]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(
        isinstance(inner, Mapping) for inner in value
    ):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value
