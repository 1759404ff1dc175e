"""The folder of an export: whole, or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import files
from ..errors import UserError

RUN = "recipe.yaml", "plan.json"  # what the folder of a run holds
WRITTEN = "stages", "model", "basis"  # and where it goes on writing
NEW = "Name a new folder"


def check_free(out: Path) -> None:
    """Refuse a place that is taken.

    Raises:
        UserError: it is a file, a link, a folder that is not empty, no name, or where
            a run keeps its own.
    """
    if out.name in ("", ".."):
        raise UserError("--out", f"{str(out)!r} names no new folder", NEW)
    if out.is_symlink():
        raise UserError("--out", f"{out} is a link", "Name the folder itself")
    if (run := _run_of(out)) is not None:
        raise UserError("--out", f"{out} is where the run {run} keeps its own", NEW)
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise UserError(
            "--out",
            f"{out} exists and is not empty" if out.is_dir() else f"{out} is a file",
            f"{NEW}, or remove it",
        )


def _run_of(out: Path) -> Path | None:
    """The run that writes there, or would: its next stage would be taken for ours."""
    path = out.absolute()
    for folder in path.parents:
        if all((folder / name).is_file() for name in RUN):
            return folder if path.relative_to(folder).parts[0] in WRITTEN else None
    return None


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
