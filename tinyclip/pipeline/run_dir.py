"""The directory of one executed recipe: the one place that joins paths in a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.load import load_recipe, to_yaml
from ..config.schema import Recipe
from ..errors import UserError
from ..files import (
    is_draft,
    make_folder,
    read_json,
    whole_folder,
    write_bytes,
    write_json,
)
from ..keep import ClipKeep, keep_from_dict
from ..sealed import (
    Sealed,
    fault_of_text,
    read_sealed,
    write_sealed,
    write_sealed_text,
)
from ..training.log import MetricsLog
from ..typed import Maybe
from .foreign import carry, foreign_in
from .lock import LOCK

# what the files that a resume reads must hold; other names are nobody's state
KINDS: dict[str, Any] = {
    "plan.json": {
        "fingerprints": {str: str},
        "sizes": {"total": int, "encoder": int},
        "recipe": Maybe({"stages": [{"batch": int}]}),
    },
    "environment.json": {
        "device": str,
        "threads": int,
        "world_size": Maybe(int),
        "libraries": {str: str},
    },
    "teacher.json": {"tasks": {str: {"value": float}}},
}
EDITED = (
    "# Change it with --set or --from-stage: edited here, the run does not go on.\n"
)
DONE = {
    "fingerprint": str,
    "samples": int,
    "sizes": {str: int},
    "files": Maybe({str: str}),
    "made_from": Maybe(str),
    "accepted": Maybe([str]),
}


def percent(share: float) -> int:
    """Whole percent, halves up, as stage folders are named."""
    return int(share * 100 + 0.5)


@dataclass(frozen=True)
class StageDir:
    """The folder of one stage."""

    path: Path
    number: int

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def _done(self) -> Path:
        return self.path / "done.json"

    @property
    def _redo(self) -> str:
        """What to do about a damaged file."""
        return f"Restore it, or redo the stage: --from-stage {self.number}"

    def done(self) -> dict[str, Any] | None:
        """What `done.json` says, or None while the stage is not whole.

        Raises:
            UserError: it is damaged.
        """
        read = self.read_done()
        return None if read is None else read.value

    def read_done(self) -> Sealed | None:
        """As `done`, and whether it is what the run wrote."""
        if not self._done.exists():
            return None
        return read_sealed(self._done, DONE, self._redo)

    def write_done(self, value: dict[str, Any]) -> None:
        """Write `done.json`, sealed: the stage is whole."""
        make_folder(self.path)
        write_sealed(self._done, value)

    def keep(self) -> ClipKeep | None:
        """What the stage kept, or None if it cut nothing.

        Raises:
            UserError: the file is damaged.
        """
        path = self.path / "keep.json"
        if not path.exists():
            return None
        try:
            return keep_from_dict(read_json(path, self._redo))
        except (AttributeError, KeyError, TypeError, ValueError):
            what = "says nothing of what was kept"
            raise UserError(str(path), what, self._redo) from None

    def write(self, name: str, value: Any) -> None:
        """Write one JSON file of the stage, whole or not at all."""
        make_folder(self.path)
        write_json(self.path / name, value)

    def write_text(self, name: str, text: str) -> None:
        make_folder(self.path)
        write_bytes(self.path / name, text.encode())


class RunDir:
    """A run on disk.

    Args:
        path: its folder; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = MetricsLog(path / "metrics.jsonl")

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def teacher_cache(self) -> Path:
        return self.path / "teacher.safetensors"

    def cache_of(self, kind: str) -> Path:
        """The teacher's features of what has no pair: `images` or `texts`."""
        return self.path / f"teacher-{kind}.safetensors"

    @property
    def basis(self) -> Path:
        """What the members of a family share."""
        return self.path / "basis"

    def is_run(self) -> bool:
        """Whether a recipe was ever started here."""
        return self.recipe_file.is_file()

    def is_empty(self) -> bool:
        """Whether nothing is here, or only what a killed start left behind."""
        if not self.path.exists():
            return True
        names = [entry.name for entry in self.path.iterdir()]
        return all(is_draft(name) or name == LOCK for name in names)

    def recipe(self) -> Recipe:
        """The recipe that runs here."""
        return load_recipe(str(self.recipe_file))

    def holds(self, recipe: Recipe) -> bool:
        """Whether the folder's recipe is this one, and as the run wrote it."""
        return not fault_of_text(self.recipe_file) and self.recipe() == recipe

    def stages(self, recipe: Recipe) -> list[StageDir]:
        """The folders of all stages, made or not."""
        folders = []
        for number, (start, target) in enumerate(recipe.spans, start=1):
            name = f"{number}-{percent(start)}to{percent(target)}"
            folders.append(StageDir(self.path / "stages" / name, number))
        return folders

    def is_done(self, recipe: Recipe) -> bool:
        """Whether every stage is whole and the final model is in its place."""
        whole = all(folder.done() is not None for folder in self.stages(recipe))
        return whole and (self.model / "config.json").exists()

    def write(self, name: str, value: Any) -> None:
        """Write one JSON file of the run, whole or not at all, and sealed if a resume
        reads it."""
        if name in KINDS:
            write_sealed(self.path / name, value)
        else:
            write_json(self.path / name, value)

    def read(self, name: str) -> Any:
        """What a JSON file of the run holds, or None when there is none.

        Raises:
            UserError: it is damaged.
        """
        if name in KINDS:
            read = self.read_sealed(name)
            return None if read is None else read.value
        path = self.path / name
        return read_json(path) if path.exists() else None

    def read_sealed(self, name: str) -> Sealed | None:
        """As `read`, and whether it is what the run wrote."""
        path = self.path / name
        if not path.exists():
            return None
        return read_sealed(path, KINDS[name], "Restore it")

    def make(self) -> None:
        """Make the folder.

        Raises:
            StorageError: it cannot be written.
        """
        make_folder(self.path)

    def begin(self, recipe: Recipe) -> None:
        """Write the recipe, every default written out, and sealed."""
        write_sealed_text(self.recipe_file, to_yaml(recipe) + EDITED)

    def publish(self, model: Path) -> None:
        """Put the last stage's model at `RUN/model`; hard links where possible. What
        others have there stays.

        Raises:
            StorageError: it cannot be written.
        """
        with whole_folder(self.model) as draft:
            try:
                _copy(model, draft, _link)
            except OSError:
                _copy(model, draft, shutil.copy2)
            carry(self.model, draft)


def _copy(model: Path, draft: Path, copy: Callable[[str, str], Any]) -> None:
    foreign = {model / path for path in foreign_in(model)}

    def ignored(root: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(root) / name in foreign]

    shutil.copytree(model, draft, False, ignored, copy, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    Path(target).hardlink_to(source)
