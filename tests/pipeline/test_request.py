"""What is asked of a folder that holds a run: refused with what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tinyclip.config.load import to_yaml
from tinyclip.config.schema import Recipe, Stage
from tinyclip.errors import UserError
from tinyclip.pipeline.request import Request, changed_settings, settle


def with_losses(losses: dict[str, float]) -> Recipe:
    stage = Stage(target=0.5)
    return Recipe(stages=(replace(stage, distil=replace(stage.distil, losses=losses)),))


def test_an_objective_that_is_left_out_is_told_as_not_there() -> None:
    stored = with_losses({"mimic": 1.0, "feature": 1.0})
    asked = with_losses({"mimic": 1.0})
    (change,) = changed_settings(stored, asked)
    assert change == "stages[0].distil.losses.feature: 1.0 -> not there"
    assert changed_settings(asked, stored)[0].endswith(": not there -> 1.0")


def test_a_stage_that_there_is_not_is_told_before_what_else_is_new(
    tmp_path: Path,
) -> None:
    stored = with_losses({"mimic": 1.0})
    (tmp_path / "recipe.yaml").write_text(to_yaml(stored))
    asked = replace(stored, seed=7)
    with pytest.raises(UserError, match="--from-stage: there is no stage 9"):
        settle(Request(tmp_path, asked, from_stage=9))
    with pytest.raises(UserError, match="its recipe is another one: seed: 0 -> 7"):
        settle(Request(tmp_path, asked, from_stage=1))
