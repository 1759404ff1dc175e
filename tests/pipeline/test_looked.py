"""What phases that do not train cost is told before they run; few pairs are enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinyclip.cli.tables import show_plan, work_of
from tinyclip.config.phases.allocate import SHARES
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.formats.source import load_source
from tinyclip.pipeline.estimate import macs, plan_stage
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import dry_run, execute

MakeRecipe = Callable[..., Recipe]


def planned(recipe: Recipe, speed: float = 1.0) -> dict[str, Any]:
    shape = load_source(recipe.teacher).model.shape
    return plan_stage(recipe, 1, shape, True, speed)


def test_seconds_count_what_is_looked_at(
    cut_recipe: MakeRecipe,
) -> None:
    stage = planned(cut_recipe(), speed=1.0)
    whole = macs(load_source("builtin:pico").model.shape)
    looked = stage["looked"]
    assert looked == {
        "rotate": 64,
        "allocate": 64 * (2 + 3 * len(SHARES) + 1),
        "solve": 128,
    }
    # a multiply-accumulate is two operations, and beside a pass stands as much again
    before = 4 * whole * (looked["rotate"] + looked["allocate"])
    # solve stands behind the cut: its passes are those of the smaller model
    assert before < stage["seconds"] < before + 4 * whole * looked["solve"]
    assert stage["phases"] == {} and stage["samples"] == 0


def test_seconds_grow_with_what_is_looked_at(cut_recipe: MakeRecipe) -> None:
    few, many = (
        planned(cut_recipe(f"stages[0].rotate.samples={n}")) for n in (64, 128)
    )
    whole = macs(load_source("builtin:pico").model.shape)
    assert many["seconds"] - few["seconds"] == pytest.approx(4 * whole * 64)


def test_the_plan_names_what_looks_and_what_trains_in_their_order(
    cut_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phases = "stages[0].phases=[rotate, learn, inherit, solve, distil]"
    plan = dry_run(cut_recipe(phases), RunDir(tmp_path / "run")).to_dict()
    said = work_of(plan["stages"][0])
    assert said == "rotate 64 pairs, learn 4, solve 128 pairs, distil 4"
    show_plan(plan)
    shown = capsys.readouterr().out
    assert "rotate" in shown and "pairs" in shown
    assert not (tmp_path / "run").exists()


def test_a_size_that_cannot_be_is_refused_before_anything_runs(
    cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = cut_recipe("stages[0].target=0.01", "stages[0].sites=[dims]")
    for start in (
        lambda: dry_run(recipe, RunDir(tmp_path / "run")),
        lambda: execute(Request(tmp_path / "run", recipe)),
    ):
        with pytest.raises(UserError, match=r"stages\[0\].target: "):
            start()
    assert not list(tmp_path.rglob("rotation.json"))


@pytest.fixture
def few_pairs(tmp_path: Path) -> Callable[..., Path]:
    """A CSV of so many pictures, some of which are no pictures."""

    def make(count: int, broken: int = 0) -> Path:
        rng, lines = np.random.default_rng(0), ["image,caption"]
        for number in range(count):
            path = tmp_path / f"{number}.png"
            if number < broken:
                path.write_bytes(b"no picture")
            else:
                pixels = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
            lines.append(f"{number}.png,picture number {number}")
        (tmp_path / "pairs.csv").write_text("\n".join(lines))
        return tmp_path / "pairs.csv"

    return make


@pytest.mark.parametrize("count", [12, 70])
def test_fewer_pairs_than_a_batch_or_than_samples_are_enough(
    count: int,
    few_pairs: Callable[..., Path],
    cut_recipe: MakeRecipe,
    tmp_path: Path,
) -> None:
    recipe = cut_recipe(
        f"data.source=csv:{few_pairs(count)}",
        "stages[*].batch=64",
        "stages[*].rotate.samples=96",
    )
    run = execute(Request(tmp_path / "run", recipe))
    assert run.is_done(run.recipe())


def test_a_batch_larger_than_the_data_is_refused_where_one_is_taken(
    few_pairs: Callable[..., Path], cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = cut_recipe(f"data.source=csv:{few_pairs(12)}", "stages[*].batch=64")
    stage = replace(recipe.stages[0], phases=(*recipe.stages[0].phases, "distil"))
    with pytest.raises(UserError, match="a batch of 64 needs as many pairs"):
        dry_run(replace(recipe, stages=(stage,)), RunDir(tmp_path / "run"))


def test_broken_pictures_are_skipped_and_named(
    few_pairs: Callable[..., Path], cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = cut_recipe(
        f"data.source=csv:{few_pairs(60, broken=3)}", "data.max_broken_share=0.2"
    )
    run = execute(Request(tmp_path / "run", recipe))
    assert run.is_done(run.recipe())
    named = (run.path / "skipped.jsonl").read_text()
    assert named.count("\n") >= 1 and ".png" in named


def test_too_many_broken_pictures_stop_the_run(
    few_pairs: Callable[..., Path], cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = cut_recipe(f"data.source=csv:{few_pairs(60, broken=30)}")
    with pytest.raises(UserError, match="broken"):
        execute(Request(tmp_path / "run", recipe))
