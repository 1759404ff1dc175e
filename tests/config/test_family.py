"""A family: which shares make one, and what its stages are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tinyclip.config.family import family_of, with_shares
from tinyclip.config.ladder import check_descent
from tinyclip.config.load import fingerprint, load_recipe, recipe_to_dict
from tinyclip.config.place import Place
from tinyclip.config.schema import Recipe
from tinyclip.config.setting import without_later
from tinyclip.errors import UserError

FILE = Place("half.yaml")


@pytest.fixture
def cut() -> Recipe:
    return load_recipe("cut")


@pytest.mark.parametrize(
    "shares", ["0.75, 0.5,0.1", [0.75, 0.5, 0.1], (0.75, 0.5, 0.1)]
)
def test_each_share_is_a_stage_that_starts_from_the_teacher(
    shares: Any, cut: Recipe
) -> None:
    stages = family_of(cut, shares).stages
    assert [stage.target for stage in stages] == [0.75, 0.5, 0.1]
    assert {stage.start for stage in stages} == {"teacher"}
    for stage in stages:
        assert replace(stage, target=0.5, start="previous") == cut.stages[0]


def test_every_stage_of_a_family_spans_from_the_whole_teacher(cut: Recipe) -> None:
    spans = family_of(cut, [0.75, 0.5]).spans
    assert spans == ((1.0, 0.75), (1.0, 0.5))


def test_a_family_asked_for_again_is_the_same_recipe(cut: Recipe) -> None:
    family = family_of(cut, [0.75, 0.5])
    assert family_of(family, [0.75, 0.5]) == family


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ("0.5", "wants two shares at least"),
        ([], "wants two shares at least"),
        ("0.5,0.75", "0.75 is not below 0.5"),
        ("0.5,0.5", "0.5 is not below 0.5"),
        ("0.75,1", "1 is not between 0 and 1"),
        ("0.75,0", "0 is not between 0 and 1"),
        ("0.75,nan", "nan is not between 0 and 1"),
        ("0.75,half", "'half' is no number"),
        ("0.75,", "'' is no number"),
        (0.5, "wants shares, not"),
        ([0.9 - 0.05 * k for k in range(11)], "At most 10"),
    ],
)
def test_shares_that_make_no_family_are_refused(
    shares: Any, words: str, cut: Recipe
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        family_of(cut, shares)
    assert str(caught.value).startswith("--family")


def test_a_recipe_whose_students_would_not_be_nested_is_refused() -> None:
    with pytest.raises(UserError, match="does not choose its units by allocate"):
        family_of(load_recipe("learned"), [0.75, 0.5])


@pytest.mark.parametrize(
    ("target", "stages", "words"), [(0.5, None, "--target"), (None, 3, "--stages")]
)
def test_a_family_goes_with_no_other_word_of_sizes(
    target: Any, stages: Any, words: str, cut: Recipe
) -> None:
    with pytest.raises(UserError, match=f"--family: does not go with {words}"):
        with_shares(cut, target, stages, "0.75,0.5")


def test_students_of_the_teacher_come_largest_first(cut: Recipe) -> None:
    rising = family_of(cut, [0.75, 0.5])
    swapped = replace(rising, stages=rising.stages[::-1])
    with pytest.raises(
        UserError, match=r"stages\[1\]\.target: 0\.75 is not below 0\.5"
    ):
        check_descent(swapped, FILE)


def test_a_stage_that_starts_from_the_teacher_must_cut() -> None:
    demo = load_recipe("demo")
    last = replace(demo.stages[-1], phases=("distil",), target=None, start="teacher")
    with pytest.raises(UserError, match=r"start: is teacher, and .* cuts nothing"):
        check_descent(replace(demo, stages=(*demo.stages, last)), FILE)


def test_a_student_of_the_teacher_may_be_larger_than_one_of_a_descent() -> None:
    demo, cut = load_recipe("demo"), load_recipe("cut")
    own = replace(cut.stages[0], target=0.9, start="teacher")
    recipe = replace(demo, stages=(*demo.stages, own))
    check_descent(recipe, FILE)
    assert recipe.spans[-1] == (1.0, 0.9)


def test_what_a_stage_starts_from_leaves_old_fingerprints_alone(cut: Recipe) -> None:
    plain = recipe_to_dict(cut)
    before = {
        **plain,
        "stages": [
            {key: value for key, value in stage.items() if key != "start"}
            for stage in plain["stages"]
        ],
    }
    assert fingerprint(without_later(Recipe, plain)) == fingerprint(
        without_later(Recipe, before)
    )
