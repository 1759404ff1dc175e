"""The folder of an export: whole, or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import files
from ..errors import UserError

NEW = "Name a new folder"


def check_free(out: Path) -> None:
    """Refuse a place that is taken.

    Raises:
        UserError: it is a file, a link, a folder that is not empty, or no name.
    """
    if out.name in ("", ".."):
        raise UserError("--out", f"{str(out)!r} names no new folder", NEW)
    if out.is_symlink():
        raise UserError("--out", f"{out} is a link", "Name the folder itself")
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise UserError(
            "--out",
            f"{out} exists and is not empty" if out.is_dir() else f"{out} is a file",
            f"{NEW}, or remove it",
        )


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A draft beside `out` that becomes `out` when the block ends well, else goes.

    Raises:
        UserError: `out` is taken.
        StorageError: it cannot be written.
    """
    check_free(out)
    with files.whole_folder(out) as draft:
        yield draft


def moved_up(inner: Path) -> None:
    """Put what a folder holds into the one that it lies in; it goes."""
    for entry in inner.iterdir():
        entry.replace(inner.parent / entry.name)
    inner.rmdir()
