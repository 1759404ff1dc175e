"""The folder of a comparison: what is kept, claimed, resumed and refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tinyclip.config.schema import Recipe

ROOT = Path(__file__).resolve().parents[2]
FEW = ("--methods", "magnitude,gates,scratch,original", "--rates", "0.001")


def test_a_rate_is_chosen_by_dev_and_the_smaller_of_equals(
    part: Any, base: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, cells = part("work"), part("cells")
    dev = {0.1: 0.2, 0.2: 0.4, 0.3: 0.4}
    monkeypatch.setattr(
        work.Work,
        "_done",
        lambda self, cell: {
            "tasks": {
                "dev": {"value": dev[cell.rate]},
                "designer": {"value": cell.rate},
            }
        },
    )
    methods = part("methods").METHODS
    at = work.Work(base, tmp_path, cells.Search(tuple(dev)), methods, lambda: False)
    assert at.settled(cells.Cell("magnitude-3", 0.1, "all", 600, 2)).rate == 0.2
    assert at.settled(cells.Cell("magnitude", 0.1, "all", 0, 2)).rate is None


def test_cells_that_are_kept_are_told_when_the_time_is_over(
    part: Any, base: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, cells = part("work"), part("cells")
    kept = {"magnitude": {"method": "magnitude"}}
    monkeypatch.setattr(work.Work, "_done", lambda self, cell: kept.get(cell.method))
    monkeypatch.setattr(work.Work, "_make", lambda self, cell: pytest.fail("made"))
    monkeypatch.setattr(work.Work, "teacher", lambda self: {})
    methods, search = part("methods").METHODS, cells.Search((0.001,))
    at = work.Work(base, tmp_path, search, methods, lambda: False, until=0.0)
    asked = [cells.Cell(name, 0.5, "all", 0, 0) for name in ("taylor", "magnitude")]
    assert at.rows(asked) == [kept["magnitude"]]


def test_a_claim_goes_with_its_process(part: Any, tmp_path: Path) -> None:
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n"
        "from pathlib import Path\nfrom comparison.work import claimed\n"
        f"with claimed(Path({str(tmp_path)!r})) as mine:\n"
        "    print(mine, flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    with part("work").claimed(tmp_path) as mine:
        assert not mine
    child.kill()
    child.communicate()
    with part("work").claimed(tmp_path) as mine:
        assert mine


@pytest.fixture(scope="module")
def killed(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison that was killed in its third cell."""
    work = tmp_path_factory.mktemp("compare") / "work"
    child = start("compare.py", "--quick", *FEW, "--work", work)
    while not list(work.glob("cells/gates/*/run/attempts.json")):
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.kill()
    child.communicate()
    return work


@pytest.fixture(scope="module")
def resumed(script: Any, killed: Path) -> dict[str, Any]:
    rows = {path: path.stat().st_mtime_ns for path in killed.glob("cells/*/*/row.json")}
    assert len(rows) == 2
    report = script(
        "compare.py", "--quick", *FEW, "--work", killed, "--out", killed / "out"
    )
    assert {path: path.stat().st_mtime_ns for path in rows} == rows
    return report


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_keeps_finished_cells(
    resumed: dict[str, Any],
) -> None:
    rows = [(r["method"], r["steps"], r["attempts"]) for r in resumed["rows"]]
    assert rows == [
        *(("magnitude", 0, 1), ("magnitude", 6, 1), ("gates", 6, 2)),
        *(("scratch", 6, 1), ("original", 6, 1)),
    ]


@pytest.mark.slow
def test_a_report_has_what_its_tables_need(resumed: dict[str, Any]) -> None:
    assert {"date", "torch", "threads", "teacher", "rates", "missing"} <= set(resumed)
    for row in resumed["rows"]:
        assert abs(row["share_encoder"] / 0.25 - 1) <= 0.005, row["method"]
        assert row["samples"] == 16 * row["steps"]
        assert {"designer", "dev", "clipart", "designer_unshown"} == set(row["tasks"])
        assert row["tasks"]["designer"]["n"] == 1696
    over = {e["method"]: e["over_baseline"] for e in resumed["summary"] if e["steps"]}
    assert over.pop("magnitude") == {}
    assert all(set(of_task) >= {"designer", "dev"} for of_task in over.values())


@pytest.mark.slow
def test_the_files_of_a_comparison_are_those_of_its_report(
    resumed: dict[str, Any], killed: Path, part: Any
) -> None:
    (file,) = (killed / "out").glob("*-compare.json")
    assert json.loads(file.read_text()) == resumed
    assert file.with_suffix(".md").read_text() == part("table").table(resumed)


@pytest.mark.slow
def test_a_plan_tells_what_is_finished_and_how_long_the_rest_takes(
    resumed: dict[str, Any], start: Any, killed: Path
) -> None:
    more = ("--steps", "0,6,12", "--plan", "--work", killed)
    out, err = start("compare.py", "--quick", *FEW, *more).communicate()
    *lines, total = out.splitlines()
    assert not err and len(lines) == 9
    assert sum("finished" in line for line in lines) == 5
    assert sum(" s    " in line for line in lines) == 4
    assert total.startswith("9 cells, 4 to run: about 0 minutes of one process")


@pytest.mark.slow
def test_a_folder_of_another_comparison_is_refused(
    resumed: dict[str, Any], start: Any, killed: Path
) -> None:
    other = ("--set", "data.crop=0.5", "--work", killed)
    child = start("compare.py", "--quick", *FEW, *other)
    out, err = child.communicate()
    assert (child.returncode, out) == (1, "")
    assert "holds a comparison of other settings" in err


@pytest.mark.slow
def test_two_processes_share_a_folder_and_no_cell(start: Any, tmp_path: Path) -> None:
    axes = ("--methods", "magnitude,manual,scratch", "--rates", "0.001")
    children = [
        start("compare.py", "--quick", *axes, "--work", tmp_path) for _ in range(2)
    ]
    reports = []
    for child in children:
        out, err = child.communicate()
        assert child.returncode == 0, err
        reports.append(json.loads(out))
    assert reports[0] == reports[1]
    assert [row["attempts"] for row in reports[0]["rows"]] == [1] * 5


def test_an_unknown_method_gets_the_nearest(start: Any, tmp_path: Path) -> None:
    child = start("compare.py", "--methods", "magnitud", "--work", tmp_path)
    out, err = child.communicate()
    assert (child.returncode, out) == (1, "")
    assert "Did you mean 'magnitude'" in err
