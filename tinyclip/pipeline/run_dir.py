"""The directory of one executed recipe: the one place that joins paths in a run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.load import load_recipe, to_yaml
from ..config.schema import Recipe
from ..errors import StorageError, UserError
from ..files import make_folder, read_json, write_bytes, write_json
from ..keep import ClipKeep, keep_from_dict
from ..training.log import MetricsLog
from .lock import LOCK


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

    def done(self) -> dict[str, Any] | None:
        """What `done.json` says, or None while the stage is not whole."""
        path = self.path / "done.json"
        return read_json(path) if path.exists() else None

    def keep(self) -> ClipKeep | None:
        """What the stage kept, or None if it cut nothing.

        Raises:
            UserError: the file is damaged.
        """
        path = self.path / "keep.json"
        if not path.exists():
            return None
        try:
            return keep_from_dict(read_json(path))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UserError(
                str(path),
                "says nothing of what was kept",
                f"Restore it, or redo the stage: --from-stage {self.number}",
            ) from None

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
        return all(name.endswith(".part") or name == LOCK for name in names)

    def recipe(self) -> Recipe:
        """The recipe that runs here."""
        return load_recipe(str(self.recipe_file))

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
        """Write one JSON file of the run, whole or not at all."""
        write_json(self.path / name, value)

    def read(self, name: str) -> Any:
        """What a JSON file of the run holds, or None when there is none."""
        path = self.path / name
        return read_json(path) if path.exists() else None

    def make(self) -> None:
        """Make the folder.

        Raises:
            StorageError: it cannot be written.
        """
        make_folder(self.path)

    def begin(self, recipe: Recipe) -> None:
        """Write the recipe, every default written out."""
        write_bytes(self.recipe_file, to_yaml(recipe).encode())

    def publish(self, model: Path) -> None:
        """Put the last stage's model at `RUN/model`; hard links where possible.

        Raises:
            StorageError: it cannot be written.
        """
        draft = self.path / "model.part"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            shutil.copytree(model, draft, copy_function=_link)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            _copy(model, draft)
        if self.model.exists():
            shutil.rmtree(self.model)
        draft.rename(self.model)

    def set_aside(self, recipe: Recipe, first: int) -> None:
        """Move stages from `first` on to `replaced/`, and their metrics out.

        They stay there until `drop_replaced`.
        """
        aside = self.path / "replaced"
        aside.mkdir(exist_ok=True)
        for folder in self.stages(recipe)[first - 1 :]:
            if folder.path.exists():
                spot = aside / folder.path.name
                shutil.rmtree(spot, ignore_errors=True)
                folder.path.rename(spot)
        if self.model.exists():
            spot = aside / "model"
            shutil.rmtree(spot, ignore_errors=True)
            self.model.rename(spot)
        kept = [r for r in self.metrics.records() if r["stage"] < first]
        self.metrics.replace(kept)

    def drop_replaced(self) -> None:
        """The new stages are whole: what they replace may go."""
        shutil.rmtree(self.path / "replaced", ignore_errors=True)


def _copy(model: Path, draft: Path) -> None:
    try:
        shutil.copytree(model, draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(draft, error) from None


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
