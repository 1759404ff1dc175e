"""What `--from-stage` replaces: kept in `replaced/` until the new stages are whole."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from ..config.schema import Recipe
from ..errors import StorageError
from ..files import drop_drafts, make_folder
from ..training.state import Checkpoints
from .foreign import remove
from .run_dir import RunDir

STAGE = re.compile(r"(\d+)-\d+to\d+")  # names of stage folders
SPOT = re.compile(rf"({STAGE.pattern}|model)(\.\d+)?")  # and of those set aside
DONE = "done.json"


class Replaced:
    """The folder of a run that holds them.

    Args:
        run: whose it is; nobody else works there meanwhile.
    """

    def __init__(self, run: RunDir) -> None:
        self.run, self.path = run, run.path / "replaced"

    def take(self, first: int) -> None:
        """Move stages from `first` on here, and take their lines out of the metrics.

        The last go first: killed at any moment, what is left is a run whose last stages
        are missing.

        Raises:
            UserError: a line of the metrics is damaged; nothing was moved.
            StorageError: they cannot be moved.
        """
        records = self.run.metrics.records()
        make_folder(self.path)
        try:
            if self.run.model.exists():
                self._move(self.run.model, whole=True)
            for number, folder in sorted(self._stages(), reverse=True):
                if number >= first:
                    self._move(folder, (folder / DONE).exists())
        except OSError as error:
            raise StorageError(self.path, error) from None
        kept = [r for r in records if (r.get("stage") or 0) < first]
        self.run.metrics.replace(kept)

    def _stages(self) -> Iterator[tuple[int, Path]]:
        """Every stage that was ever begun, of this recipe or of the one before."""
        for path in (self.run.path / "stages").glob("*"):
            if path.is_dir() and (name := STAGE.fullmatch(path.name)):
                yield int(name[1]), path

    def _move(self, folder: Path, whole: bool) -> None:
        """Move one; nothing that is whole gives way to it."""
        if not whole:
            # an attempt that did not come to its end
            if any(self.path.glob(f"{folder.name}*/{DONE}")):
                if remove(folder):
                    return
            elif (self.path / folder.name).exists():
                remove(self.path / folder.name)
        spot, number = self.path / folder.name, 1
        while spot.exists():
            number += 1
            spot = self.path / f"{folder.name}.{number}"
        folder.rename(spot)

    def drop(self) -> None:
        """The new stages are whole: what they replace may go, and nothing else."""
        for spot in sorted(self.path.glob("*")):
            if SPOT.fullmatch(spot.name) and spot.is_dir():
                remove(spot)
        with contextlib.suppress(OSError):  # it is not there, or not empty
            self.path.rmdir()


def has_leftovers(run: RunDir, recipe: Recipe) -> bool:
    """Whether a whole run holds what a kill kept from being removed."""
    states = (stage.checkpoints for stage in run.stages(recipe))
    return Replaced(run).path.exists() or any(any(s.glob("*-*.*")) for s in states)


def drop_leftovers(run: RunDir, recipe: Recipe) -> None:
    """Remove it from a whole run, in which nobody else works."""
    for stage in run.stages(recipe):
        Checkpoints(stage.checkpoints, 1).clear()
    Replaced(run).drop()
    drop_drafts(run.path)
