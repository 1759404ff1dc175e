"""What a recipe may ask of objectives, before any is computed."""

from __future__ import annotations

from typing import Any

import pytest

from tinyclip.config.place import Place
from tinyclip.config.schema import Distil, Learn, Recipe, Stage
from tinyclip.errors import UserError
from tinyclip.losses.objectives import check_objectives, objectives, settle

HERE = Place("half.yaml", "losses")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"afinity": 1.0}, "unknown objective 'afinity'. Did you mean 'affinity'?"),
        (
            {"affinity": {"directoin": "image"}},
            ".affinity: unknown key 'directoin'. Did you mean 'direction'?",
        ),
        (
            {"affinity": {"direction": "imge"}},
            ".affinity.direction: cannot be the text 'imge'. Did you mean 'image'?",
        ),
        (
            {"feature": {"weight": 1.0, "direction": "image"}},
            ".feature: unknown key 'direction'. The objective feature has a weight and "
            "no options",
        ),
        (
            {"affinity": {"weight": 0.0, "way": 1}},
            ".affinity: unknown key 'way'. Known",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(asked: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        settle(asked, HERE)
    assert words in str(caught.value)
    assert str(caught.value).startswith("half.yaml: losses")


def test_an_option_out_of_bounds_is_refused_with_the_bound() -> None:
    from dataclasses import dataclass

    from tinyclip.config.setting import setting

    @dataclass(frozen=True, kw_only=True)
    class Options:
        temperature: float = setting(0.07, "of the softmax", above=0)

    @objectives.register("planted")
    def planted(_mine: Any, _theirs: Any, options: Options = Options()) -> Any:
        return options.temperature, {}

    try:
        (one,) = settle({"planted": {"temperature": 1}}, HERE)
        assert one.loss(None, None) == (1.0, {})  # type: ignore[arg-type]
        with pytest.raises(UserError, match="temperature: must be more than 0, not"):
            settle({"planted": {"temperature": 0}}, HERE)
    finally:
        del objectives._entries["planted"]


def test_no_objective_takes_the_name_of_the_penalty() -> None:
    with pytest.raises(ValueError, match="no objective can be called 'sparsity'"):
        objectives.register("sparsity")


@pytest.mark.parametrize("phase", ["learn", "distil"])
def test_every_phase_of_every_stage_is_checked(phase: str) -> None:
    kind = {"learn": Learn, "distil": Distil}[phase]
    wrong = Stage(**{phase: kind(losses={"afinity": 1.0})})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"^x: stages\[1\].{phase}.losses: unknown"):
        check_objectives(Recipe(stages=(Stage(), wrong)), Place("x"))
    with pytest.raises(UserError, match=rf"^x: {phase}.losses: unknown"):
        check_objectives(wrong, Place("x"))
