"""A shipped recipe's tasks belong to its own pairs."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tinyclip.cli import compress
from tinyclip.config.load import load_recipe, to_yaml
from tinyclip.config.schema import Recipe


def asked(*words: str) -> Recipe:
    parser = argparse.ArgumentParser()
    compress.add_arguments(parser)
    recipe = compress.recipe_from(parser.parse_args(words), None)
    assert recipe is not None
    return recipe


def test_on_its_own_pairs_a_recipe_keeps_its_tasks(caplog) -> None:
    assert load_recipe("smoke").tasks == ("clipart",)
    assert asked("smoke", "--data", "builtin:pictograms").tasks == ("clipart",)
    assert not caplog.text


@pytest.mark.parametrize("option", [["--data"], ["--set"]])
def test_on_other_pairs_all_of_theirs_are_measured_and_that_is_said(
    option: list[str], caplog
) -> None:
    value = "csv:p.csv" if option == ["--data"] else "data.source=csv:p.csv"
    assert asked("smoke", *option, value).tasks == ()
    assert "of its own pairs; of csv:p.csv the usual tasks" in caplog.text


def test_tasks_that_the_user_names_stay() -> None:
    named = ["--set", "tasks=[retrieval]"]
    assert asked("smoke", "--data", "csv:p.csv", *named).tasks == ("retrieval",)
    assert asked("smoke", *named).tasks == ("retrieval",)


def test_a_recipe_of_the_users_own_keeps_its_tasks(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(to_yaml(load_recipe("smoke")))
    assert asked(str(file), "--data", "csv:p.csv").tasks == ("clipart",)
