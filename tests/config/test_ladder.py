"""The descent: targets in equal steps, and what cannot be a descent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.config.ladder import check_descent, ladder, rebuild_ladder
from tinyclip.config.place import Place
from tinyclip.config.schema import Distil, Learn, Recipe, Stage
from tinyclip.errors import UserError

FILE = Place("half.yaml")


def stages(*targets: float | None, **settings: Any) -> Recipe:
    return Recipe(stages=tuple(Stage(target=t, **settings) for t in targets))


def refusal(recipe: Recipe) -> str:
    with pytest.raises(UserError) as caught:
        check_descent(recipe, FILE)
    return str(caught.value)


@pytest.mark.parametrize(
    ("target", "count", "shares"),
    [
        (0.25, 3, [0.75, 0.5, 0.25]),
        ("0.25", "3", [0.75, 0.5, 0.25]),
        (0.1, 4, [0.775, 0.55, 0.325, 0.1]),
        (0.5, 1, [0.5]),
    ],
)
def test_the_ladder_of_the_contract(target: Any, count: Any, shares: Any) -> None:
    assert ladder(target, count) == shares


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.integers(1, 10))
def test_every_ladder_goes_down_in_equal_steps_to_its_target(
    target: float, count: int
) -> None:
    shares = [1.0, *ladder(target, count)]
    steps = [before - after for before, after in zip(shares, shares[1:], strict=False)]
    assert shares[-1] == target
    assert len(steps) == count
    assert all(abs(step - (1 - target) / count) < 1e-9 for step in steps)


@pytest.mark.parametrize("target", [0, 1, 1.5, -0.1, "abc", "nan", "inf", "", True])
def test_an_impossible_target_is_refused(target: Any) -> None:
    with pytest.raises(UserError, match=r"^--target: .*Try 0\.25$"):
        ladder(target, 3)


@pytest.mark.parametrize("count", [0, 11, 100, -1, "abc", 2.5, "nan"])
def test_an_impossible_number_of_stages_is_refused(count: Any) -> None:
    with pytest.raises(UserError, match=r"^--stages: .*Try 3$"):
        ladder(0.25, count)


def test_a_rebuilt_stage_keeps_the_settings_of_its_entry() -> None:
    recipe = Recipe(
        stages=(Stage(target=0.6, batch=8), Stage(target=0.5, batch=16)),
    )
    rebuilt = rebuild_ladder(recipe, 0.2, 4)
    assert [stage.batch for stage in rebuilt.stages] == [8, 16, 16, 16]
    assert [stage.target for stage in rebuilt.stages] == [0.8, 0.6, 0.4, 0.2]


def test_a_stage_that_only_distils_takes_no_part_in_a_ladder() -> None:
    recipe = Recipe(stages=(Stage(phases=("distil",)),))
    with pytest.raises(UserError, match="stage 1 .* only distils"):
        rebuild_ladder(recipe, 0.5, 1)


def test_a_ladder_needs_a_target() -> None:
    with pytest.raises(UserError, match="--target"):
        rebuild_ladder(stages(None), None, 3)


def test_targets_that_go_down_pass() -> None:
    check_descent(stages(0.75, 0.5), FILE)


@pytest.mark.parametrize("targets", [(0.5, 0.5), (0.5, 0.75), (1.0,)])
def test_targets_that_do_not_go_down_are_refused(targets: tuple[float, ...]) -> None:
    last = len(targets) - 1
    assert refusal(stages(*targets)).startswith(
        f"half.yaml: stages[{last}].target: {targets[-1]:g} is not below"
    )


def test_a_stage_that_inherits_needs_a_target() -> None:
    assert refusal(stages(0.5, None)).startswith(
        "half.yaml: stages[1].target: is missing"
    )


@pytest.mark.parametrize("target", [None, 0.5])
def test_a_stage_that_only_distils_stays_where_it_is(target: float | None) -> None:
    last = Stage(phases=("distil",), target=target)
    check_descent(Recipe(stages=(Stage(target=0.5), last)), FILE)


@pytest.mark.parametrize("target", [0.25, 1.0])
def test_a_stage_that_only_distils_cannot_go_elsewhere(target: float) -> None:
    last = Stage(phases=("distil",), target=target)
    assert "without inheriting the model stays at 0.5" in refusal(
        Recipe(stages=(Stage(target=0.5), last))
    )


@pytest.mark.parametrize("phase", ["learn", "score", "manual"])
def test_each_way_to_choose_leads_to_inheritance(phase: Any) -> None:
    check_descent(stages(0.5, phases=(phase, "inherit", "distil")), FILE)
    check_descent(stages(0.5, phases=(phase, "inherit")), FILE)


@pytest.mark.parametrize(
    "phases",
    [
        (),
        ("inherit", "distil"),
        ("learn", "distil"),
        ("learn", "score", "inherit"),
        ("distil", "learn", "inherit"),
        ("learn", "inherit", "distil", "distil"),
    ],
)
def test_phases_that_make_no_sense_are_refused(phases: Any) -> None:
    assert refusal(stages(0.5, phases=phases)).startswith(
        "half.yaml: stages[0].phases: "
    )


@pytest.mark.parametrize("sites", [(), ("ffn", "ffn")])
def test_sites_are_named_once_and_at_least_one(sites: Any) -> None:
    assert "stages[0].sites" in refusal(stages(0.5, sites=sites))


@pytest.mark.parametrize("losses", [{}, {"affinity": 0.0}])
def test_a_phase_that_trains_needs_an_objective(losses: dict[str, float]) -> None:
    assert "stages[0].learn.losses" in refusal(stages(0.5, learn=Learn(losses=losses)))
    assert "distil.losses" in refusal(stages(0.5, distil=Distil(losses=losses)))
    scored = stages(0.5, phases=("score", "inherit"), distil=Distil(losses=losses))
    check_descent(scored, FILE)  # it does not train


def test_a_recipe_has_one_to_ten_stages() -> None:
    ten = stages(*ladder(0.1, 10))
    check_descent(ten, FILE)
    eleven = replace(ten, stages=(*ten.stages, Stage(target=0.05)))
    assert "there are 11" in refusal(eleven)
    assert "there is none" in refusal(Recipe(stages=()))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b"])
def test_a_recipe_s_name_can_name_a_folder(name: str) -> None:
    assert refusal(replace(stages(0.5), name=name)).startswith("half.yaml: name: ")


def test_a_batch_has_no_more_pieces_than_pairs() -> None:
    check_descent(stages(0.5, batch=8, accumulate=8), FILE)
    recipe = stages(0.5, batch=8, accumulate=9)
    assert "stages[0].accumulate: a batch of 8 pairs" in refusal(recipe)
