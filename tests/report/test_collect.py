"""What a run has left behind."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tinyclip.errors import UserError
from tinyclip.report.collect import collect, tasks_in


def test_a_run_tells_its_models_from_the_largest_down(finished: Path) -> None:
    told = collect(finished)
    assert told.finished
    assert [model.name for model in told.models] == [
        "teacher",
        *(f"stage {number}" for number in range(1, len(told.students) + 1)),
    ]
    shares = [model.share for model in told.models]
    assert shares == sorted(shares, reverse=True)
    config = json.loads((finished / "model/config.json").read_text())
    last = told.students[-1]
    assert last.share == config["share"]["encoder"]
    assert dict(last.sizes) == config["sizes"]
    assert len(last.tasks) > 0 and last.latency is not None


def test_every_line_of_the_metrics_is_there(finished: Path) -> None:
    lines = (finished / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(collect(finished).steps)


def test_of_a_run_that_is_not_whole_there_is_what_is_done(
    finished: Path, tmp_path: Path
) -> None:
    going = tmp_path / "going"
    shutil.copytree(finished, going)
    shutil.rmtree(going / "model")
    (last,) = sorted((going / "stages").iterdir())[-1:]
    (last / "done.json").unlink()
    told = collect(going)
    assert not told.finished
    assert len(told.students) == len(collect(finished).students) - 1


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run. Name a folder that tinyclip comp"):
        collect(tmp_path)


def test_skipped_samples_are_counted_by_kind(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    rows = [
        {"key": str(number), "why": ["truncated" if number else "empty", "x"]}
        for number in range(3)
    ]
    (run / "skipped.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert collect(run).skipped == {"empty": 1, "truncated": 2}
    assert collect(finished).skipped == {}


def test_naming_comes_before_finding(finished: Path) -> None:
    told = collect(finished)
    found = {"value": 0.5, "ci95": [0.4, 0.6], "n": 9, "metric": "image_to_text_r1"}
    named = {**found, "metric": "top1"}
    both = replace(told.teacher, tasks={"found": found, "named": named})
    assert replace(told, teacher=both).main_task() == "named"
    assert tasks_in([replace(told, teacher=both, students=())]) == ["found", "named"]
    assert replace(told, teacher=replace(both, tasks={})).main_task() is None
