"""The speed benchmark cuts what it says, and its table says what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinyclip import cost
from tinyclip.formats.source import load_source


@pytest.fixture(scope="module")
def script(scripts: Any) -> ModuleType:
    return scripts("bench_speed")


def test_students_have_their_size_and_their_layout(script: ModuleType) -> None:
    teacher = load_source("builtin:pictoclip").model
    students = script.students(teacher, [0.5], spread=0.05, round_to=1)
    assert list(students) == ["uniform 50 %", "ragged 50 %"]
    whole = cost.size(teacher.shape, "encoder")
    for name, student in students.items():
        share = cost.size(student.shape, "encoder") / whole
        assert abs(share - 0.5) <= 0.005, name
    uniform, ragged = (
        all(tower.is_uniform for tower in student.shape.towers().values())
        for student in students.values()
    )
    assert (uniform, ragged) == (True, False)


def test_both_files_are_written(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["x", "--teacher", "builtin:pico", "--targets", "0.5", "--batch", "1"]
    argv += ["--rounds", "1", "--date", "2026-11-21", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    script.main()
    report = json.loads((tmp_path / "2026-11-21-speed.json").read_text())
    names = [model["name"] for model in report["models"]]
    assert names == ["teacher", "uniform 50 %", "ragged 50 %"]
    for model in report["models"]:
        assert sum(model["profile"].values()) == pytest.approx(1, abs=0.01)
    text = (tmp_path / "2026-11-21-speed.md").read_text()
    row = report["models"][1]["timings"][0]
    assert f"| {row['speedup']:.2f} | {row['of_mac_ratio']:.2f} |" in text


def test_a_goal_that_was_missed_is_said(script: ModuleType) -> None:
    def timings(of_ratio: float) -> list[dict[str, object]]:
        return [{"tower": "image", "batch": 32, "of_mac_ratio": of_ratio}]

    report = {
        "models": [
            {"name": "teacher", "timings": timings(1.0)},
            {"name": "uniform 50 %", "timings": timings(0.85)},
            {"name": "ragged 50 %", "timings": timings(0.85)},
        ]
    }
    first, second = script.verdicts(report, 32)
    assert first.endswith("0.85 of the MAC ratio, goal 0.9: MISSED")
    assert second.endswith("0.85 of the MAC ratio, goal 0.8: reached")


def test_the_table_that_is_shown_is_that_of_the_json(script: ModuleType) -> None:
    results = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
    report = json.loads((results / "2026-11-21-speed.json").read_text())
    shown = (results / "2026-11-21-speed.md").read_text().splitlines()
    rows = [row for row in script.markdown(report).splitlines() if row.startswith("|")]
    assert len(rows) > 30 and set(rows) <= set(shown)
