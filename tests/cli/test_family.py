"""`--family` on the command line and `family` in Python ask for the same run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from tinyclip.cli import compress
from tinyclip.config.family import family_of
from tinyclip.config.load import load_recipe, to_yaml
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.pipeline import api


def asked(*words: str) -> Any:
    parser = argparse.ArgumentParser()
    compress.add_arguments(parser)
    return compress.request_from(parser.parse_args(words))


def test_a_family_without_a_recipe_is_cut_without_training() -> None:
    request = asked("--family", "0.75,0.5")
    assert request.recipe == family_of(load_recipe("cut"), [0.75, 0.5])
    assert request.out == Path("runs/cut")


def test_settings_hold_for_every_member() -> None:
    phases = "[rotate, allocate, inherit, solve, distil]"
    request = asked("--family", "0.75,0.5", "--set", f"stages[*].phases={phases}")
    assert [stage.phases[-1] for stage in request.recipe.stages] == ["distil"] * 2


def test_a_resumed_family_may_be_named_again(tmp_path: Path) -> None:
    family = family_of(load_recipe("cut"), [0.75, 0.5])
    (tmp_path / "recipe.yaml").write_text(to_yaml(family))
    words = ("--resume", "--out", str(tmp_path))
    assert asked(*words, "--family", "0.75,0.5").recipe == family
    assert asked(*words).recipe is None


def test_python_asks_for_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requests = []
    monkeypatch.setattr(api, "execute", requests.append)
    api.compress(family=(0.75, 0.5), out=tmp_path)
    assert requests[0].recipe == asked("--family", "0.75,0.5").recipe


def test_python_refuses_a_family_beside_stages() -> None:
    with pytest.raises(UserError, match="compress: family: .*does not go with others"):
        api.compress(family=(0.75, 0.5), stages=[{"use": "distil"}])
    with pytest.raises(UserError, match="family: does not go with stages"):
        api.compress(family=(0.75, 0.5), stages=2)


def test_a_recipe_of_members_says_so_in_yaml() -> None:
    family: Recipe = family_of(load_recipe("cut"), [0.75, 0.5])
    assert to_yaml(family).count("start: teacher") == 2
