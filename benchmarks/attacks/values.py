"""JSON files whose values are of other kinds, absurd, or no values at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .families import Attack

Keys = tuple[str, ...]
VALUES: dict[str, Any] = {
    "null": None,
    "-1": -1,
    "0": 0,
    "10**12": 10**12,
    "1.5": 1.5,
    "true": True,
    "text": "x",
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a list": [1],
    "an object": {"a": 1},
    "a long text": "x" * 100_000,
}
TEXTS = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "an object": b"{}",
    "brackets": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "no UTF-8": b"\xff\xfe",
    "a number of digits": b'{"format_version": ' + b"9" * 10_000 + b"}",
    "megabytes": b"[" + b"1," * 2**24 + b"1]",
}
DEVICES = ("", "/dev/zero", "/")  # that a file is a link to; a pipe where it is empty


def changed(path: Path, keys: Keys, value: Any) -> None:
    """Put a value under keys in each other."""
    config = json.loads(path.read_text())
    inner = config
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(config))


def special(path: Path, device: str) -> None:
    """A pipe or a link to a device in a file's place."""
    path.unlink(missing_ok=True)
    path.symlink_to(device) if device else os.mkfifo(path)


def of_json(
    copied: Callable[[Path], Path],
    read: Callable[[Path], str],
    name: str,
    keys: tuple[Keys, ...],
    right: frozenset[tuple[Keys, str]] = frozenset(),
) -> Iterator[Attack]:
    """A JSON file with other values under each of some keys, and with other texts.

    Args:
        copied: puts what is whole into a folder and returns where.
        right: keys and values that are not wrong, after all.
    """

    def put(where: Keys, value: Any, folder: Path) -> None:
        changed(copied(folder) / name, where, value)

    def write(text: bytes, folder: Path) -> None:
        (copied(folder) / name).write_bytes(text)

    def replace(device: str, folder: Path) -> None:
        special(copied(folder) / name, device)

    for where in keys:
        for told, value in VALUES.items():
            harmless = (where, told) in right
            words = f"{name}: {'.'.join(where)} is {told}"
            yield Attack(words, partial(put, where, value), read, harmless)
    for told, text in TEXTS.items():
        yield Attack(f"{name} holds {told}", partial(write, text), read)
    for device in DEVICES:
        words = f"{name} is {device or 'a pipe'}"
        yield Attack(words, partial(replace, device), read)
