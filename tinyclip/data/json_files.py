"""What the forms of `json:FILE` share: its value, and where its pictures lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..bounded import json_value, read_bytes
from ..config.schema import Data
from ..errors import UserError

SCHEME = "json"
LARGEST = 2**31  # bytes of a file


def file_of(data: Data) -> Path | None:
    """The file that a source names; None for a source of another kind."""
    scheme, _, file = data.source.partition(":")
    return Path(file).expanduser() if scheme == SCHEME else None


def root_of(data: Data, path: Path) -> Path:
    """What paths of pictures are relative to: `data.image_root`, else the file's own
    folder.

    Raises:
        UserError: there is no such folder.
    """
    if data.image_root is None:
        return path.parent
    root = Path(data.image_root).expanduser()
    if not root.is_dir():
        what = f"there is no folder {data.image_root}"
        raise UserError("data.image_root", what, "Check the path")
    return root


def value_of(path: Path, where: str) -> Any:
    """What a file says.

    Raises:
        UserError: it cannot be read, or is no JSON.
    """
    try:
        return json_value(read_bytes(path, LARGEST))
    except OSError as error:
        raise UserError(
            where, f"cannot be read: {error.strerror}", "Check the path"
        ) from None
    except ValueError as error:
        what = f"is no JSON: {str(error)[:160]}"
        raise UserError(where, what, "Save it anew") from None
