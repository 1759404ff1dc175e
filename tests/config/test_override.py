"""`--set a.b=v` changes one setting and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError


@pytest.fixture(scope="module")
def smoke() -> Recipe:
    return load_recipe("smoke")


def refusal(*settings: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe("smoke", settings)
    return str(caught.value)


def test_a_setting_of_the_recipe(smoke: Recipe) -> None:
    assert load_recipe("smoke", ["seed=1"]) == replace(smoke, seed=1)


def test_a_setting_further_in(smoke: Recipe) -> None:
    expected = replace(smoke, data=replace(smoke.data, augmentations=4))
    assert load_recipe("smoke", ["data.augmentations=4"]) == expected


def test_a_setting_of_one_stage(smoke: Recipe) -> None:
    recipe = load_recipe("smoke", ["stages[0].distil.steps=5"])
    assert recipe.stages[0].distil == replace(smoke.stages[0].distil, steps=5)
    assert recipe.stages[1:] == smoke.stages[1:]


def test_a_setting_of_every_stage(smoke: Recipe) -> None:
    recipe = load_recipe("smoke", ["stages[*].batch=64"])
    assert recipe == replace(
        smoke, stages=tuple(replace(stage, batch=64) for stage in smoke.stages)
    )


def test_one_entry_of_a_list() -> None:
    recipe = load_recipe("smoke", ["stages[*].distil.optim.betas[1]=0.95"])
    assert {stage.distil.optim.betas for stage in recipe.stages} == {(0.9, 0.95)}


def test_one_objective_beside_the_others() -> None:
    recipe = load_recipe("smoke", ["stages[0].distil.losses.feature=2"])
    assert recipe.stages[0].distil.losses == {"mimic": 1.0, "feature": 2.0}


def test_one_option_of_an_objective_keeps_its_weight() -> None:
    sets = ["affinity=2", "affinity.direction=text", "mimic.weight=3"]
    recipe = load_recipe("smoke", [f"stages[0].distil.losses.{item}" for item in sets])
    assert recipe.stages[0].distil.losses == {
        "mimic": 3.0,
        "affinity": {"weight": 2.0, "direction": "text"},
    }


def test_all_objectives_at_once() -> None:
    recipe = load_recipe("smoke", ["stages[0].distil.losses={contrastive: 1}"])
    assert recipe.stages[0].distil.losses == {"contrastive": 1.0}


def test_several_settings_at_once_leave_the_others(smoke: Recipe) -> None:
    recipe = load_recipe("smoke", ["stages[0].distil={steps: 3, optim: {lr: 0.5}}"])
    was = smoke.stages[0].distil
    assert recipe.stages[0].distil == replace(
        was, steps=3, optim=replace(was.optim, lr=0.5)
    )


def test_lists_and_nothing() -> None:
    recipe = load_recipe("smoke", ["data.exclude=['*.gif', 'a=b']", "data.val=null"])
    assert recipe.data.exclude == ("*.gif", "a=b")
    assert load_recipe("smoke", ["data.val="]).data.val is None


def test_the_last_of_two_counts() -> None:
    assert load_recipe("smoke", ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("sede=1", "unknown key 'sede'. Did you mean 'seed'?"),
        ("data.sorce=1", "unknown key 'sorce'. Did you mean 'source'?"),
        ("seed=abc", "wants a whole number, not the text 'abc'"),
        ("seed=-1", "must be at least 0, not -1"),
        ("seed=1.5", "wants a whole number, not 1.5"),
        ("seed=", "wants a whole number, not nothing"),
        ("seed=[", "is not valid YAML"),
        ("seed.x=1", "there is nothing inside"),
        ("seed", "is not of the form a.b=value"),
        ("=1", "is not of the form a.b=value"),
        ("a..b=1", "is not of the form a.b=value"),
        ("stages[-1].batch=4", "is not of the form a.b=value"),
        ("stages[3].batch=4", "there is no [3]. Use 0 to 2, or * for all"),
        ("stages.batch=4", "there is no [batch]"),
        ("stages[*].batch=1", "must be at least 2, not 1"),
        ("stages[*].learn.optim.lr=1e-4", "write 1.0e-4"),
        ("stages[*].learn.losses.affinity=-1", "must be at least 0"),
        ("stages[*].learn.losses.affinity=x", "wants a number"),
        ("stages[*].learn.losses.affinity.weight=-1", "must be at least 0"),
        ("stages[*].learn.losses.affinity.a.b=1", "there is nothing inside to call"),
        ("stages[0].learn={stpes: 1}", "Did you mean 'steps'?"),
        ("stages[0].use=score", "`use` cannot be changed here"),
        ("stages=[{use: score}]", "`use` cannot be changed here"),
        ("stages[0].target=0.5", "stages[1].target: 0.5 is not below 0.5"),
        ("layout=unifrom", "Did you mean 'uniform'?"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(setting: str, words: str) -> None:
    message = refusal("seed=3", setting)
    assert message.startswith("--set ")
    assert setting in message
    assert words in message


def test_settings_depend_on_each_other_only_at_the_end() -> None:
    recipe = load_recipe("smoke", ["stages[0].target=0.5", "stages[1].target=0.4"])
    assert [stage.target for stage in recipe.stages] == [0.5, 0.4, 0.25]


def test_an_override_changes_nothing_that_is_shared(smoke: Recipe) -> None:
    load_recipe("smoke", ["stages[*].learn.losses.feature=3"])
    assert load_recipe("smoke") == smoke
