"""The README's table of four ways to 25 %, and what it comes from."""

from __future__ import annotations

import json
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
