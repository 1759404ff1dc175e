"""A small run: real pictures in a CSV, the pico teacher, few steps."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Recipe

WORDS = ("red", "green", "blue", "grey", "small", "large", "round", "square")


@pytest.fixture(scope="session")
def pairs_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 noisy pictures with captions of their own."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for number in range(240):
            pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            caption = f"{WORDS[number % 8]} {WORDS[number // 8 % 8]} number {number}"
            writer.writerow([f"{number}.png", caption])
    return folder / "pairs.csv"


@pytest.fixture(scope="session")
def pico_recipe(pairs_csv: Path) -> Callable[..., Recipe]:
    """`smoke` on the small CSV with a handful of steps; keyword `sets` adds --set."""

    def make(*sets: str) -> Recipe:
        few = (
            f"data.source=csv:{pairs_csv}",
            "stages[*].learn.steps=5",
            "stages[*].distil.steps=4",
            "stages[*].batch=8",
            "checkpoint_every=2",
            "log_every=1",
            "evaluate=false",
        )
        return load_recipe("smoke", (*few, *sets))

    return make


@pytest.fixture(scope="session")
def one_stage(pico_recipe: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """The first stage of it alone."""

    def make(*sets: str) -> Recipe:
        recipe = pico_recipe(*sets)
        return replace(recipe, stages=recipe.stages[:1])

    return make


@pytest.fixture(scope="session")
def cut_recipe(pairs_csv: Path) -> Callable[..., Recipe]:
    """`cut` on the small CSV, few pairs looked at; keyword `sets` adds --set."""

    def make(*sets: str) -> Recipe:
        few = (
            "teacher=builtin:pico",
            f"data.source=csv:{pairs_csv}",
            "stages[*].rotate.samples=64",
            "stages[*].allocate={samples: 64, judged: 32, tries: 1}",
            "stages[*].solve.samples=64",
            "stages[*].distil={steps: 4, optim: {warmup: 2}}",
            "stages[*].learn={steps: 4, train_weights: false}",
            "stages[*].batch=8",
            "checkpoint_every=2",
            "log_every=1",
            "evaluate=false",
        )
        return load_recipe("cut", (*few, *sets))

    return make
