"""metrics.jsonl."""

from __future__ import annotations

from pathlib import Path

from tinyclip.training.log import MetricsLog


def test_lines_after_a_saved_state_are_cut(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write({"step": 1})
    offset = log.offset
    log.write({"step": 2})
    log.cut(offset)
    log.write({"step": 2, "again": True})
    assert log.records() == [{"step": 1}, {"step": 2, "again": True}]


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.offset == 0
    assert log.records() == []
