"""Drawn pictures, a pico teacher, and caches of its features."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tinyclip.config.schema import Data
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import Subset, open_pairs
from tinyclip.formats.source import load_source
from tinyclip.model.store import Loaded
from tinyclip.training.engine import Engine
from tinyclip.training.teacher.index import Index, find_index
from tinyclip.training.teacher.live import LiveTeacher
from tinyclip.training.teacher.make import begin, make
from tinyclip.training.teacher.stored import StoredTeacher, open_stored

COUNT = 100
COLOURS = ("red", "green", "blue", "orange", "purple")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 100 pictures, none of which is its own mirror image."""
    folder = tmp_path_factory.mktemp("drawn")
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for number in range(COUNT):
            picture = Image.new("RGB", (24, 20), "white")
            draw = ImageDraw.Draw(picture)
            colour = COLOURS[number % 5]
            draw.rectangle((0, 0, 4 + number % 9, 19), fill=colour)
            draw.ellipse((1, number % 12, 9, number % 12 + 7), fill="black")
            picture.save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", f"{colour} bar {number}"])
    return folder / "pairs.csv"


@dataclass
class Studio:
    """What caches are made with.

    Args:
        source: the table.
        teacher: the pico teacher.
    """

    source: Path
    teacher: Loaded

    def live(self) -> LiveTeacher:
        return LiveTeacher(self.teacher.model, Engine(), None)

    def loader(
        self, rows: list[int] | None = None, size: int = 8, **settings: Any
    ) -> Loader:
        """Batches of all pairs, or of some rows in that order."""
        pairs = open_pairs(Data(source=f"csv:{self.source}"))
        chosen = pairs if rows is None else Subset(pairs, rows)
        settings = {"seed": 5, "augmentations": 3, "crop": 0.7, **settings}
        return Loader(
            chosen,
            range(len(chosen)),
            self.teacher.preprocess,
            self.teacher.tokenizer,
            batch=size,
            **settings,
        )

    def make(
        self, folder: Path, loader: Loader | None = None, **others: Any
    ) -> tuple[Index, int]:
        """Make a cache, or go on with one; its index, and the shards that were kept."""
        folder.mkdir(parents=True, exist_ok=True)
        loader = loader or self.loader()
        captions = loader.all_captions()
        made_of = made_of_pico(**{"augmentations": loader.augmentations, **others})
        index = begin(folder, made_of, loader, captions, 16, "tinyclip cache again")
        return make(folder, index, self.live(), loader, captions)


def made_of_pico(**others: Any) -> dict[str, Any]:
    """What the index says that a cache is made of."""
    return {
        "teacher": "pico",
        "tokenizer": "bpe",
        "transform": {"size": 16, "background": "white"},
        "augmentations": 3,
        "crop": 0.7,
        "seed": 5,
        "data": "drawn",
        "dtype": "float32",
        "precision": "fp32",
        **others,
    }


@pytest.fixture(scope="session")
def studio(drawn: Path) -> Studio:
    return Studio(drawn, load_source("builtin:pico"))


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 2,000 bytes: several of 100 pictures."""
    monkeypatch.setattr("tinyclip.training.teacher.shards.SHARD", 2_000)


@pytest.fixture
def fitting() -> Callable[..., dict[str, Any]]:
    return made_of_pico


@pytest.fixture
def cache(studio, tmp_path) -> Path:
    studio.make(tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def use(studio, fitting) -> Callable[..., StoredTeacher]:
    """Open a cache for a loader, as a run does."""

    def opened(folder: Path, loader: Any = None) -> StoredTeacher:
        cache = find_index(folder, fitting())
        return open_stored(*cache, studio.live(), loader or studio.loader())

    return opened
