"""The YAML that ships is right, and each file says what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyclip.config import shelf
from tinyclip.config.load import load_recipe, load_stage
from tinyclip.config.place import Place
from tinyclip.config.schema import Recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ("cut", "demo", "learned", "one-stage", "smoke", "standard")
RECIPES += ("vit-b-32-paper",)
STAGES = ("distil", "learn", "magnitude", "manual", "rebase", "score")


def targets(recipe: Recipe) -> list[float | None]:
    return [stage.target for stage in recipe.stages]


@pytest.mark.parametrize("kind", ["stages", "recipes"])
def test_the_shelf_is_the_folder(kind: str) -> None:
    assert shelf.names(kind) == sorted(p.stem for p in (ROOT / kind).glob("*.yaml"))


def test_what_the_documents_name_is_there() -> None:
    assert set(RECIPES) <= set(shelf.names("recipes"))
    assert set(STAGES) <= set(shelf.names("stages"))


@pytest.mark.parametrize("kind", ["stages", "recipes"])
def test_each_file_begins_with_what_it_does(kind: str) -> None:
    for name in shelf.names(kind):
        first = shelf.read(kind, name).splitlines()[0]
        assert first.startswith("# "), name
        assert len(first) > 30, name


@pytest.mark.parametrize("name", RECIPES)
def test_each_shipped_recipe_loads_and_names_objectives_that_exist(name: str) -> None:
    from tinyclip.losses.objectives import check_objectives

    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about
    check_objectives(recipe, Place(name))


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("learn", ("learn", "inherit", "distil")),
        ("score", ("score", "inherit", "distil")),
        ("magnitude", ("score", "inherit", "distil")),
        ("manual", ("manual", "inherit", "distil")),
        ("distil", ("distil",)),
    ],
)
def test_each_shipped_stage_has_the_phases_of_its_name(
    name: str, phases: tuple[str, ...]
) -> None:
    assert load_stage(name).phases == phases


def test_score_and_magnitude_differ_in_what_they_rank_by() -> None:
    assert load_stage("score").score.importance == "taylor"
    assert load_stage("magnitude").score.importance == "magnitude"


@pytest.mark.parametrize(
    "name", ["demo", "learned", "smoke", "standard", "vit-b-32-paper"]
)
def test_three_stages_go_down_by_quarters(name: str) -> None:
    assert targets(load_recipe(name)) == [0.75, 0.5, 0.25]


def test_one_stage_goes_down_at_once() -> None:
    assert targets(load_recipe("one-stage")) == [0.25]


@pytest.mark.parametrize("name", ["cut", "demo", "learned", "smoke", "one-stage"])
def test_the_embedded_recipes_need_no_network(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.teacher.startswith("builtin:")
    assert recipe.data.source.startswith("builtin:")


def test_one_stage_sees_as_many_samples_as_three_of_learned_gates() -> None:
    def samples(recipe: Recipe) -> int:
        steps = (s.batch * (s.learn.steps + s.distil.steps) for s in recipe.stages)
        return sum(steps)

    assert samples(load_recipe("one-stage")) == samples(load_recipe("learned"))


def test_the_cut_trains_nothing() -> None:
    assert not any(stage.steps for stage in load_recipe("cut").stages)


@pytest.mark.parametrize("name", ["demo", "standard"])
def test_the_usual_recipes_cut_in_the_principal_basis(name: str) -> None:
    for stage in load_recipe(name).stages:
        assert stage.phases == ("rotate", "allocate", "inherit", "solve", "distil")
        assert stage.sites == ("dims", "ffn", "embed")


def test_the_smoke_recipe_runs_every_phase_and_checkpoints_inside_them() -> None:
    recipe = load_recipe("smoke")
    assert recipe.evaluate
    for stage in recipe.stages:
        assert stage.phases == ("learn", "inherit", "distil")
        assert recipe.checkpoint_every < min(stage.learn.steps, stage.distil.steps)
        assert stage.batch * (stage.learn.steps + stage.distil.steps) < 500


def test_the_paper_s_recipe_has_the_published_settings() -> None:
    recipe = load_recipe("vit-b-32-paper")
    assert recipe.teacher == "openclip:ViT-B-32/laion2b_e16"
    assert [stage.learn.steps for stage in recipe.stages] == [3000, 5000, 8000]
    for stage in recipe.stages:
        assert (stage.batch, stage.scale) == (8192, 50.0)
        # six epochs of 400 M pairs
        assert stage.learn.steps + stage.distil.steps == 48828 * 6
        assert stage.learn.ramp * stage.learn.steps == pytest.approx(1000, abs=1)
        assert (stage.learn.gate_lr, stage.learn.penalty) == (0.02, "hinge")
        assert stage.learn.optim.warmup == stage.learn.steps
        assert stage.distil.optim.warmup == 0
        for optim in (stage.learn.optim, stage.distil.optim):
            assert (optim.lr, optim.betas, optim.eps) == (1e-4, (0.9, 0.98), 1e-6)
            assert (optim.weight_decay, optim.clip) == (0.2, 5.0)


@pytest.mark.parametrize("name", ["standard", "vit-b-32-paper"])
def test_a_recipe_for_your_own_pairs_brings_none(name: str) -> None:
    assert load_recipe(name).data.source == ""
