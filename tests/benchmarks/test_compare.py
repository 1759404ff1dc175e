"""The comparison runs, goes on after a kill, and gives the README its table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "2026-11-21-compare"
NAMES = [
    "ours, 3 stages",
    "ours, 1 stage",
    "magnitude (Torch-Pruning), 1 stage",
    "same shape from scratch + distillation",
]
TASKS = {"designer", "dev", "unseen_groups", "clipart"}


@pytest.fixture(scope="module")
def module(scripts: Any) -> ModuleType:
    return scripts("compare")


@pytest.fixture(scope="module")
def killed(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison that was killed in its second cell."""
    work = tmp_path_factory.mktemp("compare") / "work"
    child = start("compare.py", "--quick", "--work", work)
    second = work / "seed-0" / "ours-1" / "attempts.json"
    while not second.exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.kill()
    child.communicate()
    return work


@pytest.fixture(scope="module")
def resumed(script: Any, killed: Path) -> dict[str, Any]:
    first = (killed / "seed-0" / "ours-3.json").stat().st_mtime_ns
    report = script("compare.py", "--quick", "--work", killed)
    assert (killed / "seed-0" / "ours-3.json").stat().st_mtime_ns == first
    return report


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_keeps_finished_cells(
    resumed: dict[str, Any],
) -> None:
    attempts = {row["name"]: row["attempts"] for row in resumed["rows"]}
    assert attempts == dict(zip(NAMES, (1, 2, 1, 1), strict=True))


@pytest.mark.slow
def test_a_comparison_says_what_its_table_needs(
    resumed: dict[str, Any], table: ModuleType
) -> None:
    assert {"date", "torch", "threads", "teacher", "samples", "seeds"} <= set(resumed)
    assert [row["name"] for row in resumed["rows"]] == NAMES
    for row in resumed["rows"]:
        assert row["samples"] == 160 and row["seed"] == 0 and row["seconds"] > 0
        assert abs(row["share_encoder"] / 0.25 - 1) <= 0.005
        assert TASKS <= set(row["tasks"])
        for task in row["tasks"].values():
            assert {"value", "ci95", "n", "teacher", "retention"} == set(task)
    baseline = resumed["summary"][resumed["baseline"]]
    assert {task["over_baseline"] for task in baseline.values()} == {0.0}
    lines = table.table(resumed, resumed["baseline"]).splitlines()
    assert [line.split(" | ")[0] for line in lines[3:]] == [f"| {n}" for n in NAMES]


@pytest.mark.slow
def test_a_folder_of_another_comparison_is_refused(
    resumed: dict[str, Any], start: Any, killed: Path
) -> None:
    child = start("compare.py", "--quick", "--samples", 320, "--work", killed)
    out, err = child.communicate()
    assert (child.returncode, out) == (1, "")
    assert "holds a comparison of other settings" in err


@pytest.mark.parametrize("document", ["README.md", f"benchmarks/results/{SHIPPED}.md"])
def test_the_tables_that_are_shown_are_those_of_the_json(
    table: ModuleType, document: str
) -> None:
    path = ROOT / "benchmarks" / "results" / f"{SHIPPED}.json"
    shown = table.table(json.loads(path.read_text()), NAMES[2])
    assert shown in (ROOT / document).read_text()


def row(name: str, seed: int, value: float) -> dict[str, Any]:
    task = {"value": value, "ci95": [0.0, 1.0], "n": 9, "teacher": 0.5}
    tasks = {key: {**task, "retention": value / 0.5} for key in TASKS}
    return {"name": name, "seed": seed, "seconds": 10 * seed, "tasks": tasks}


def test_several_seeds_are_told_as_median_and_range(table: ModuleType) -> None:
    values = {"ours": (0.1, 0.4, 0.2), "base": (0.3, 0.2, 0.1)}
    rows = [
        row(name, seed, value)
        for name, of_seed in values.items()
        for seed, value in enumerate(of_seed)
    ]
    median = table.summary(rows, "base")["ours"]["dev"]
    assert median["seeds"] == 3
    assert (median["low"], median["value"], median["high"]) == (0.1, 0.2, 0.4)
    assert median["retention"] == pytest.approx(0.4)
    # of -0.2, 0.2 and 0.1: seeds are compared with themselves
    assert median["over_baseline"] == pytest.approx(0.1)
    shown = table.table({"rows": rows}, "base")
    assert "| ours | 20.0 (10.0 to 40.0) | 40.0 % | 20.0 | 20.0 | 20.0 | 10 |" in shown


def test_every_contender_sees_the_same_number_of_samples(module: ModuleType) -> None:
    base = module.load_recipe("demo", [])
    for name, recipe in module.contenders(base, 80_000).items():
        steps = sum(
            stage.distil.steps + ("learn" in stage.phases) * stage.learn.steps
            for stage in recipe.stages
        )
        assert steps == 625, name
        assert recipe.stages[-1].target == 0.25
