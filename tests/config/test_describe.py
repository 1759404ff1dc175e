"""Every setting explains itself, wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyclip.cli import objectives
from tinyclip.cli.settings import page
from tinyclip.config.describe import commented_yaml, table
from tinyclip.config.load import load_recipe, load_stage
from tinyclip.config.schema import Optim, Recipe, Score
from tinyclip.config.setting import inner_kind, settings_of

ROOT = Path(__file__).resolve().parents[2]


def classes(kind: type) -> Iterator[type]:
    """A settings class and those inside it."""
    yield kind
    for _, hint in settings_of(kind).values():
        inner = inner_kind(hint)
        if inner is not None:
            yield from classes(inner)


@pytest.mark.parametrize("kind", sorted(set(classes(Recipe)), key=str))
def test_every_setting_has_one_line_of_help(kind: type) -> None:
    for name, (entry, _) in settings_of(kind).items():
        words = entry.metadata.get("help", "")
        assert 8 <= len(words) <= 75, name
        assert "\n" not in words, name


def test_the_help_stands_beside_each_setting_of_a_recipe() -> None:
    lines = commented_yaml(load_recipe("demo")).splitlines()
    assert "seed: 0  # of order, augmentations and the gates' noise (at least 0)" in (
        lines
    )
    first = "- target: 0.75  # share of the run's teacher that is left after it "
    assert first + "(above 0, at most 1)" in lines
    assert "- target: 0.5" in lines  # the comments of the first stage do for all
    assert sum("#" not in line for line in lines[: lines.index("- target: 0.5")]) == 0


def test_a_stage_is_explained_too() -> None:
    assert "    importance: magnitude  # " in "  " + commented_yaml(
        load_stage("magnitude")
    ).replace("\n", "\n  ")


def test_a_table_has_default_bounds_and_help() -> None:
    assert "| `lr` | `0.001` | a number, above 0 | learning rate" in table(Optim)
    assert "| `betas` | `[0.9, 0.98]` | 2 numbers, at least 0, below 1 |" in table(
        Optim
    )
    assert '| `importance` | `"taylor"` | magnitude \\| taylor \\| hessian |' in table(
        Score
    )


def test_the_page_of_settings_is_the_one_that_the_classes_print() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "make settings"


def test_the_page_of_objectives_begins_with_what_they_print() -> None:
    """What follows is measured (tests/benchmarks/test_objectives.py)."""
    written = (ROOT / "docs" / "objectives.md").read_text()
    assert written.startswith(objectives.page()), "make settings"
