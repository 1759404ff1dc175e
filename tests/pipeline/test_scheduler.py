"""A run from its beginning to its end, interrupted and not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinyclip import cost
from tinyclip.config.load import load_stage
from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted, UserError
from tinyclip.model.store import load_model
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

MakeRecipe = Callable[..., Recipe]


def weights(run: RunDir) -> list[bytes]:
    """The bytes of every stage's model."""
    folders = run.stages(run.recipe())
    return [(folder.model / "model.safetensors").read_bytes() for folder in folders]


def timeless(run: RunDir) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in record.items() if key != "seconds"}
        for record in run.metrics.records()
    ]


def stop_after(steps: int) -> Callable[[], bool]:
    """A stop that comes true at the given question."""
    asked = iter(range(10**9))
    return lambda: next(asked) >= steps


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, pico_recipe: MakeRecipe) -> RunDir:
    """A run that nobody interrupted."""
    return execute(Request(tmp_path_factory.mktemp("whole") / "run", pico_recipe()))


def test_every_stage_has_the_size_that_was_asked_for(whole: RunDir) -> None:
    recipe = whole.recipe()
    teacher = json.loads((whole.path / "plan.json").read_text())["sizes"]
    for folder, stage in zip(whole.stages(recipe), recipe.stages, strict=True):
        model = load_model(folder.model).model
        counted = cost.size(model.shape, recipe.budget) / teacher[recipe.budget]
        assert counted == pytest.approx(stage.target, rel=0.005)


def test_every_stage_is_certified(whole: RunDir) -> None:
    for folder in whole.stages(whole.recipe()):
        certificate = json.loads((folder.model / "certificate.json").read_text())
        assert certificate["max_abs_diff"] <= 1e-5
        assert certificate["n"] >= 64


def test_the_run_ends_with_the_last_stages_model(whole: RunDir) -> None:
    final = (whole.model / "model.safetensors").read_bytes()
    assert final == weights(whole)[-1]


def test_a_stage_says_what_it_was_asked(whole: RunDir) -> None:
    recipe = whole.recipe()
    for folder, stage in zip(whole.stages(recipe), recipe.stages, strict=True):
        assert load_stage(str(folder.path / "stage.yaml")) == stage


def test_stages_hold_stage_folders_and_nothing_else(whole: RunDir) -> None:
    names = sorted(path.name for path in (whole.path / "stages").iterdir())
    assert names == ["1-100to75", "2-75to50", "3-50to25"]


def test_metrics_count_samples_over_the_whole_run(whole: RunDir) -> None:
    records = whole.metrics.records()
    assert [record["samples"] for record in records] == [
        8 * (number + 1) for number in range(len(records))
    ]
    keys = {"stage", "phase", "step", "samples", "loss", "parts", "p", "q"}
    keys |= {"lambda", "beta", "lr", "seconds"}
    assert all(keys <= set(record) for record in records)


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 8, 9, 13, 20])
def test_interrupted_and_resumed_gives_the_same_bytes(
    steps: int, whole: RunDir, pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted, match="--resume --out"):
        execute(Request(out, pico_recipe()), stop=stop_after(steps))
    run = execute(Request(out, resume=True))
    assert weights(run) == weights(whole)
    assert timeless(run) == timeless(whole)


def test_interrupted_at_every_step_gives_the_same_bytes(
    whole: RunDir, pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    out, tries = tmp_path / "run", 0
    request = Request(out, pico_recipe())
    while True:
        try:
            run = execute(request, stop=stop_after(3))
            break
        except Interrupted:
            request, tries = Request(out, resume=True), tries + 1
    assert tries >= 5
    assert weights(run) == weights(whole)
    assert timeless(run) == timeless(whole)


def test_redoing_from_a_stage_gives_the_same_bytes(
    whole: RunDir, pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = execute(Request(tmp_path / "run", pico_recipe()))
    again = execute(Request(run.path, from_stage=2))
    assert weights(again) == weights(whole)
    assert timeless(again) == timeless(whole)
    assert not (run.path / "replaced").exists()


def test_redoing_with_other_settings_keeps_the_stages_before(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = execute(Request(tmp_path / "run", pico_recipe()))
    before = weights(run)
    changed = pico_recipe("stages[2].distil.steps=6")
    after = weights(execute(Request(run.path, changed, from_stage=3)))
    assert before[:2] == after[:2]
    assert before[2] != after[2]


def test_earlier_stages_may_not_change(whole: RunDir, pico_recipe: MakeRecipe) -> None:
    changed = pico_recipe("stages[0].distil.steps=6")
    with pytest.raises(UserError, match=r"stages\[0\].distil.steps: 4 -> 6"):
        execute(Request(whole.path, changed, from_stage=2))


def test_a_finished_run_is_not_overwritten(
    whole: RunDir, pico_recipe: MakeRecipe
) -> None:
    with pytest.raises(UserError, match="finished run"):
        execute(Request(whole.path, pico_recipe()))


def test_an_unfinished_run_says_how_to_go_on(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", pico_recipe()), stop=stop_after(1))
    with pytest.raises(UserError, match="tinyclip compress --resume --out"):
        execute(Request(tmp_path / "run", pico_recipe()))


def test_a_foreign_folder_is_left_alone(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        execute(Request(tmp_path, pico_recipe()))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_resuming_another_recipe_shows_the_difference(
    whole: RunDir, pico_recipe: MakeRecipe
) -> None:
    with pytest.raises(UserError, match="seed: 0 -> 7"):
        execute(Request(whole.path, pico_recipe("seed=7"), resume=True))


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        execute(Request(tmp_path / "none", resume=True))


def test_changed_data_is_refused(
    pico_recipe: MakeRecipe, pairs_csv: Path, tmp_path: Path
) -> None:
    mine = pairs_csv.with_name("mine.csv")
    lines = pairs_csv.read_text().splitlines()
    mine.write_text("\n".join(lines) + "\n")
    recipe = pico_recipe(f"data.source=csv:{mine}")
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", recipe), stop=stop_after(1))
    mine.write_text("\n".join(lines[:-5]) + "\n")
    with pytest.raises(UserError, match="changed since this run began:\n  data: "):
        execute(Request(tmp_path / "run", resume=True))
