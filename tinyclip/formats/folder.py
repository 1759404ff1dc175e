"""The folder of an export: whole, or not there at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StorageError, UserError
from ..files import sync_folder
from ..leaving import removed

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
    draft = out.with_name(out.name + ".part")
    with removed(draft):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
        except OSError as error:
            raise StorageError(out, error) from None
        try:
            yield draft
            draft.replace(out)
            sync_folder(out.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
