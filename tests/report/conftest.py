"""A run that is whole: a small teacher, drawn pictures, names to tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tinyclip.config.load import load_recipe
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.scheduler import execute

COLOURS = ("red", "green", "blue", "<b>bold</b>")
EACH = 40


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of four classes, one of them called like a tag."""
    root = tmp_path_factory.mktemp("classes")
    for place, name in enumerate(COLOURS):
        folder = root / name.replace("/", "_")
        folder.mkdir()
        for number in range(EACH):
            picture = Image.new("RGB", (24, 24), "white")
            draw = ImageDraw.Draw(picture)
            shade = (60 + 3 * number, 80 * (place % 3), 70 * place)
            draw.rectangle((0, 0, 4 + number % 9, 19), fill=shade)
            picture.save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def finished(class_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two stages with learned gates, measured on the folders' classes."""
    out = tmp_path_factory.mktemp("runs") / "it's <i>mine"
    sets = (
        f"data.source=folder:{class_folders}",
        "tasks=[]",
        "stages[*].learn.steps=5",
        "stages[*].distil.steps=4",
        "stages[*].batch=8",
        "log_every=1",
    )
    recipe = load_recipe("smoke", sets)
    execute(Request(out, recipe))
    return out
