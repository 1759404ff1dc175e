"""State on disk that is read again: typed, and sealed by a checksum.

A JSON file of state holds its own SHA-256 under `seal`, a text its own in the last
line. A value without one was written before there were seals, or by another hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bounded import open_regular
from .errors import UserError
from .files import read_json, read_regular, write_bytes, write_json
from .typed import misfit

SEAL = "seal"
LINE = "\n# seal: "
CHANGED = "was changed since the run wrote it"
UNSEALED = "has no seal: it was written before there were seals, or by another hand"


@dataclass(frozen=True)
class Sealed:
    """What a file of state says.

    Args:
        fault: why it is not what was written; empty where it is.
    """

    value: dict[str, Any]
    fault: str


def seal_of(value: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their names."""
    plain = json.loads(json.dumps(dict(value), allow_nan=False))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain values and their checksum; raises `StorageError`."""
    write_json(path, {**value, SEAL: seal_of(value)})


def read_sealed(path: Path, kind: Any, todo: str) -> Sealed:
    """What a file of state holds, and whether it is what was written.

    Args:
        kind: what it must hold, as `typed` says it.
        todo: what to do about a damaged file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    value = read_json(path, todo)
    wrong = misfit(value, kind)
    if wrong:
        raise UserError(str(path), f"is damaged ({wrong})", todo)
    seal = value.pop(SEAL, None)
    if seal is None:
        return Sealed(value, UNSEALED)
    return Sealed(value, "" if seal == _seal_or_none(value) else CHANGED)


def _seal_or_none(value: Mapping[str, Any]) -> str | None:
    try:
        return seal_of(value)
    except ValueError:  # not a number: none that we write holds one
        return None


def write_sealed_text(path: Path, text: str) -> None:
    """Write lines of YAML, the last of them a comment with their checksum."""
    text = text.rstrip("\n")
    seal = hashlib.sha256(text.encode()).hexdigest()
    write_bytes(path, f"{text}{LINE}{seal}\n".encode())


def fault_of_text(path: Path) -> str:
    """Why a text is not what `write_sealed_text` wrote; empty where it is.

    Raises:
        UserError: it cannot be read.
    """
    body, line, seal = read_regular(path).rpartition(LINE.encode())
    if not line:
        return UNSEALED
    whole = seal == hashlib.sha256(body).hexdigest().encode() + b"\n"
    return "" if whole else CHANGED


def digests(folder: Path, without: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of every file in a folder and those in it, by its path there.

    Raises:
        UserError: one cannot be read.
    """
    return {
        name: digest_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (name := path.relative_to(folder).as_posix()) not in without
    }


def digest_of(path: Path) -> str:
    """SHA-256 of a file, at the speed of the disk: no copy of it is made.

    Raises:
        UserError: it cannot be read, or is no regular file.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})") from None
