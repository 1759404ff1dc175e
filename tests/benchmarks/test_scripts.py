"""Every benchmark runs at its smallest size and says what the tables need."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TIMINGS = {
    *("tower", "batch", "median_ms", "p90_ms", "per_second", "macs"),
    *("mac_ratio", "speedup", "of_mac_ratio"),
}


def is_tested(name: str) -> bool:
    tests = Path(__file__).parents[1]
    return any(name in path.read_text() for path in tests.rglob("test_*.py"))


def test_no_script_is_without_a_test() -> None:
    scripts = [
        path.name
        for path in (ROOT / "benchmarks").rglob("*.py")
        if "__main__" in path.read_text()
    ]
    assert len(scripts) >= 10
    assert [name for name in scripts if not is_tested(name)] == []


def test_the_speed_of_teacher_and_students(script: Any) -> None:
    report = script("bench_speed.py", "--quick")
    assert {"date", "teacher", "torch", "threads", "machine"} <= set(report)
    assert {"rounds", "peak_rss", "spread", "round_to"} <= set(report)
    names = [model["name"] for model in report["models"]]
    assert names == ["teacher", "uniform 50 %", "ragged 50 %"]  # the baseline is first
    for model in report["models"]:
        assert model["params"]["encoder"] > 0
        assert {row["tower"] for row in model["timings"]} == {"image", "text"}
        assert all(set(row) >= TIMINGS for row in model["timings"])
        assert model["profile"].keys() == report["models"][0]["profile"].keys()


def test_what_objectives_cost(script: Any) -> None:
    report = script("objective_cost.py", "--quick")
    assert [row["name"] for row in report["rows"]] == ["mimic", "gd", "afd"]
    for row in report["rows"]:
        assert row["of_mimic"] > 0 and row["seconds"] > 0 and row["peak_mib"] >= 0


def test_what_a_step_costs(script: Any) -> None:
    report = script("step_cost.py", "--quick")
    assert [row["name"] for row in report["rows"]] == ["mimic", "mfd", "dlb"]
    for row in report["rows"]:
        assert row["of_mimic"] > 0 and row["seconds"] > 0 and row["peak_mib"] >= 0


@pytest.mark.slow
def test_what_has_no_pair_is_worth(script: Any) -> None:
    asked = "--entries", "pairs,both", "--seeds", "0"
    report = script("unpaired.py", "--quick", *asked)
    assert report["texts"] > report["pictures"] > 0
    assert [row["seen"] for row in report["summary"]] == ["pairs", "both"]
    for row in report["summary"]:
        assert set(row["figures"]) == {
            *("dev top-1", "dev KL", "designer top-1", "designer KL")
        }
    both = report["summary"][1]["figures"]["dev KL"]
    assert both["over_pairs"] != 0


def test_one_cut_at_its_full_size(script: Any) -> None:
    (cut,) = script("full_size.py", "--quick")["cuts"]
    parts = {"load", "magnitude", "taylor, 8 pairs", "choose", "inherit"}
    assert {*parts, "certificate, 64 pairs", "write and read"} == set(cut["parts"])
    assert all(set(p) == {"seconds", "peak_gib"} for p in cut["parts"].values())
    assert cut["certificate"] <= 1e-5
    assert abs(cut["encoder_share"] / 0.25 - 1) <= 0.005


def test_the_closed_form_at_its_full_size(script: Any) -> None:
    (cut,) = script("closed_form.py", "--quick")["cuts"]
    for phase in ("rotate", "inherit", "solve"):
        assert {phase, f"{phase}, certificate"} <= set(cut["parts"])
    assert {"load", "allocate, carried", "allocate, search"} <= set(cut["parts"])
    costs = {"seconds", "cpu_seconds", "peak_gib"}
    assert all(set(part) == costs for part in cut["parts"].values())
    assert cut["certificates"]["rotate"] <= 1e-5
    assert cut["certificates"]["inherit"] <= 1e-5
    assert cut["certificates"]["solve"] <= 1e-3
    assert abs(cut["encoder_share"] / 0.25 - 1) <= 0.005


def test_a_family_beside_runs_of_its_own(script: Any) -> None:
    report = script("family.py", "--quick")
    assert [member["share"] for member in report["members"]] == [0.75, 0.5]
    assert set(report["cpu_seconds"]) == {"family", "alone"}
    for member in report["members"]:
        for kind in ("family", "alone"):
            assert abs(member[kind]["encoder_share"] / member["share"] - 1) <= 0.005
            assert member[kind]["cpu_seconds"] > 0
        assert set(member["over_alone"]["clipart"]) == {"value", "low", "high"}
    first, *_ = report["members"]
    assert first["family"]["tasks"] == first["alone"]["tasks"]  # it is nested in none


@pytest.mark.slow
def test_training_on_a_busy_machine(script: Any) -> None:
    report = script("busy.py", "--quick")
    cells = {"idle default", "idle brief", "busy default", "busy brief"}
    assert set(report["pairs_per_second"]) == cells
    assert report["over_default"]["default"] == {"idle": 1.0, "busy": 1.0}
    assert set(report["over_default"]["brief"]) == {"idle", "busy"}
    assert set(report["busy_over_idle"]) == {"default", "brief"}
    for speeds in report["rounds"]:
        assert set(speeds) == cells
        assert all(cell["pairs_per_second"] > 0 for cell in speeds.values())
        assert {cell["threads"] for cell in speeds.values()} == {1}


@pytest.mark.parametrize("name", ["2026-11-21-kill"])
def test_a_table_has_its_numbers_from_its_json(name: str) -> None:
    """The keys that `kill.py` prints (run in tests/pipeline/test_robust.py)."""
    report = json.loads((RESULTS / f"{name}.json").read_text())
    text = (RESULTS / f"{name}.md").read_text()
    assert f"| {report['random_kills']} times in one run | yes |" in text
    assert f"{report['died_at']} of the {report['flushes']} flushes" in text
    assert f"| {report['died_identical']} of {report['died_at']} |" in text
    assert f"| {report['launched_kills']} times in one run | yes |" in text
    assert report["identical"] and report["launched_identical"]


def test_the_cost_of_the_paper_s_run_and_the_page_that_shows_it(
    scripts: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scale = scripts("scale")
    monkeypatch.setattr(sys, "argv", ["scale.py"])
    scale.main()
    report = json.loads(capsys.readouterr().out)
    assert {"assumed", "stages", "worlds", "cache_gib"} <= set(report)
    assert {"activations_mib_a_pair", "gradient_mib"} <= set(report)
    assert [world["gpus"] for world in report["worlds"]] == [1, 8, 64]
    page = (ROOT / "docs" / "scale.md").read_text()
    shown = re.search(r"<!-- tables -->\n(.*?)\n<!-- /tables -->", page, re.DOTALL)
    assert shown is not None
    assert scale.tables(report) == shown[1].strip()
