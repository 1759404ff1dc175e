"""What is known at the start is told at the start, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.pipeline import descent
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import dry_run, execute
from tinyclip.training import engine

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training would be a failure of these tests."""

    def never(*_: object) -> None:
        raise AssertionError("a stage was begun")

    monkeypatch.setattr(descent, "run_stage", never)


def refusals(recipe: Recipe, out: Path, log_with: str | None = None) -> list[str]:
    """What a plan and a run say of a recipe; the run leaves no stage."""
    messages = []
    for start in (
        lambda: dry_run(recipe, RunDir(out), log_with),
        lambda: execute(Request(out, recipe, log_with=log_with)),
    ):
        with pytest.raises(UserError) as caught:
            start()
        messages.append(str(caught.value))
    return messages


def test_a_task_that_the_pairs_do_not_have(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = pico_recipe("evaluate=true", "tasks=[clipart]")
    for message in refusals(recipe, tmp_path / "run"):
        assert "tasks: unknown task 'clipart'" in message
        assert "retrieval" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["stages[2].manual.image_layers=100"], "stages[2].manual.image_layers: 100 "),
        (["stages[2].manual.text_layers=1", "towers=[image]"], "the text tower stays"),
        (
            ["stages[1].manual.image_layers=1", "stages[2].manual.image_layers=2"],
            "stages[2].manual.image_layers: 2 layers of the 1 that there are",
        ),
    ],
)
def test_layers_that_a_later_stage_will_not_have(
    pico_recipe: MakeRecipe, tmp_path: Path, sets: list[str], said: str
) -> None:
    manual = [f"stages[{i}].phases=[manual, inherit, distil]" for i in (1, 2)]
    for message in refusals(pico_recipe(*manual, *sets), tmp_path / "run"):
        assert said in message


def test_tasks_of_a_run_that_measures_nothing_do_not_matter(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    dry_run(pico_recipe("tasks=[clipart]"), RunDir(tmp_path / "run"))


@pytest.mark.parametrize(
    ("tracker", "message"),
    [("tensorbord", "Did you mean 'tensorboard'"), ("wandb", "pip install wandb")],
)
def test_a_tracker_that_is_not_there(
    pico_recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tracker: str,
    message: str,
) -> None:
    monkeypatch.setattr(engine, "get_available_trackers", lambda: ["tensorboard"])
    for refusal in refusals(pico_recipe(), tmp_path / "run", tracker):
        assert refusal.startswith("--log-with: ")
        assert message in refusal
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(pico_recipe: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for message in refusals(pico_recipe(), tmp_path / "file" / "run"):
        assert "file/run: cannot be written (Not a directory)" in message


def test_an_objective_that_does_not_fit_the_teacher(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = pico_recipe("stages[1].distil.losses={sigmoid: 1}")
    for message in refusals(recipe, tmp_path / "run"):
        assert "stages[1].distil.losses.sigmoid: the teacher has no logit" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "sets",
    [
        ("teacher=builtin:pico-siglip", "stages[1].distil.losses={sigmoid: 1}"),
        ("stages[1].distil.losses={mimic: 1, sigmoid: 0}",),
    ],
)
def test_an_objective_that_fits_or_counts_nothing_does(
    pico_recipe: MakeRecipe, tmp_path: Path, sets: tuple[str, ...]
) -> None:
    dry_run(pico_recipe(*sets), RunDir(tmp_path / "run"))
