"""Which orders of the phases in the basis make sense, and what the others are told."""

from __future__ import annotations

import pytest

from tinyclip.config.load import load_recipe, load_stage
from tinyclip.config.phases.score import Score
from tinyclip.config.schema import PHASES, Recipe, Stage
from tinyclip.errors import UserError


def recipe_of(phases: str, *sets: str) -> Recipe:
    return load_recipe("cut", (f"stages[0].phases=[{phases}]", *sets))


@pytest.mark.parametrize(
    "phases",
    [
        "rotate, allocate, inherit, solve",
        "rotate, allocate, inherit, solve, distil",
        "rotate, allocate, inherit, distil",
        "rotate, learn, inherit, distil",
        "rotate, score, inherit, solve",
        "score, inherit, solve",
        "manual, inherit, solve",
    ],
)
def test_phases_that_make_sense_together(phases: str) -> None:
    assert recipe_of(phases).stages[0].phases == tuple(phases.split(", "))


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ("allocate, inherit, solve", "allocate ranks directions.*Put rotate before it"),
        (
            "rotate, solve, distil",
            "solve has no cut to make up.*Put inherit before",
        ),
        (
            "rotate, learn, inherit, solve",
            "have learned to do without it.*learn.train_weights: false, or leave solve",
        ),
        ("rotate, allocate, solve", "solve has no cut|cannot work"),
        ("rotate, allocate, score, inherit", "cannot work|not in order"),
        ("rotate, score, allocate, inherit", "exactly one of .*allocate"),
        ("allocate, rotate, inherit", "not in order"),
        ("rotate, allocate", "needs inherit after it"),
    ],
)
def test_phases_that_do_not(phases: str, said: str) -> None:
    with pytest.raises(UserError, match=f"(?s){said}") as refused:
        recipe_of(phases)
    assert "stages[0].phases" in refused.value.where


def test_gates_alone_may_learn_before_a_solve() -> None:
    recipe = recipe_of(
        "rotate, learn, inherit, solve", "stages[0].learn.train_weights=false"
    )
    assert recipe.stages[0].solves


def test_gates_that_start_from_what_units_carry_need_the_basis() -> None:
    carried = "stages[0].learn.init=carried"
    with pytest.raises(UserError, match="learn ranks directions"):
        recipe_of("learn, inherit, distil", carried)
    assert recipe_of("rotate, learn, inherit, distil", carried)


def test_rotation_alone_makes_nothing_smaller() -> None:
    recipe = recipe_of("rotate, distil", "stages[0].target=null")
    assert not recipe.stages[0].cuts and recipe.stages[0].rotates


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("rotate.samples=63", "64"),
        ("allocate.samples=0", "64"),
        ("allocate.judged=31", "32"),
        ("allocate.tries=-1", "0"),
        ("solve.samples=10", "64"),
        ("solve.ridge=-0.1", "0"),
        ("solve.readers=0", "0"),
        ("solve.projection=0", "0"),
        ("allocate.samples=many", "many"),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        load_recipe("cut", (f"stages[0].{setting}",))
    assert setting.split("=")[0] in refused.value.where


def test_the_shipped_stage_and_recipe_are_the_closed_form() -> None:
    stage = load_stage("rebase")
    assert stage.phases == ("rotate", "allocate", "inherit", "solve", "distil")
    assert stage.sites == ("dims", "ffn", "embed")
    (cut,) = load_recipe("cut", ()).stages
    assert cut.phases == stage.phases[:-1] and cut.target == 0.5
    assert not cut.steps


def test_what_a_stage_looks_at_is_counted() -> None:
    (cut,) = load_recipe(
        "cut",
        (
            "stages[0].rotate.samples=100",
            "stages[0].allocate={samples: 200, tries: 3}",
            "stages[0].solve.samples=300",
        ),
    ).stages
    # allocate: what units carry, six students of one site each, the first, its tries
    assert cut.looked == {"rotate": 100, "allocate": 200 * (2 + 6 + 3), "solve": 600}
    assert "distil" not in cut.looked


@pytest.mark.parametrize(
    ("phases", "batched"),
    [
        (("rotate", "allocate", "inherit", "solve"), False),
        (("rotate", "allocate", "inherit", "solve", "distil"), True),
        (("score", "inherit"), True),
        (("manual", "inherit"), False),
        (("learn", "inherit"), True),
    ],
)
def test_what_takes_whole_batches(phases: tuple[str, ...], batched: bool) -> None:
    assert Stage(phases=phases).batched is batched


def test_magnitude_needs_no_batch() -> None:
    stage = Stage(phases=("score", "inherit"), score=Score(importance="magnitude"))
    assert not stage.batched


def test_phases_run_in_the_order_of_their_fields() -> None:
    order = "rotate learn score manual allocate inherit solve distil"
    assert list(PHASES) == order.split()
