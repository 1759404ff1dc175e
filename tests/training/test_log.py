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
    first, second = log.records()
    assert (first["step"], second["step"], second["again"]) == (1, 2, True)


def test_a_line_has_every_column_in_order_and_what_comes_beside_them(
    tmp_path: Path,
) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write({"skipped": 1, "seconds": 0.5, "step": 3})
    (record,) = log.records()
    columns = "stage phase step samples loss parts p q lambda beta lr seconds skipped"
    assert list(record) == columns.split()
    assert (record["step"], record["seconds"], record["p"]) == (3, 0.5, None)


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.offset == 0
    assert log.records() == []
