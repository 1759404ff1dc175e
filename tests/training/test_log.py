"""metrics.jsonl."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tinyclip.errors import StorageError, UserError
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


def test_a_link_is_not_written_through_nor_cut(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("years of work\n")
    (tmp_path / "metrics.jsonl").symlink_to("theirs")
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for work in (lambda: log.write({"step": 1}), lambda: log.cut(0)):
        with pytest.raises(StorageError):
            work()
    assert (tmp_path / "theirs").read_text() == "years of work\n"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(StorageError):
        MetricsLog(tmp_path / "metrics.jsonl").write({"step": 1})


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.offset == 0
    assert log.records() == []


@pytest.fixture
def log(tmp_path: Path) -> MetricsLog:
    """Two steps of each phase of two stages."""
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for stage in (1, 2):
        for phase in ("learn", "distil"):
            for step in (1, 2):
                log.write({"stage": stage, "phase": phase, "step": step})
    return log


def places(log: MetricsLog) -> list[tuple[int, str, int]]:
    return [(r["stage"], r["phase"], r["step"]) for r in log.records()]


def test_a_phase_that_begins_anew_drops_its_lines_and_those_after(
    log: MetricsLog,
) -> None:
    log.cut_phase(1, "distil")
    assert places(log) == [(1, "learn", 1), (1, "learn", 2)]


def test_a_stage_that_begins_anew_drops_those_of_the_next(log: MetricsLog) -> None:
    log.cut_phase(1, "another")
    assert [place[0] for place in places(log)] == [1, 1, 1, 1]


def test_half_a_line_at_the_end_is_none(log: MetricsLog) -> None:
    whole = log.records()
    with log.path.open("a") as file:
        file.write('{"stage": 2, "ph')
    assert log.records() == whole
    log.cut_phase(2, "later")
    log.write({"stage": 2, "phase": "later"})
    assert len(log.records()) == len(whole) + 1


def test_a_damaged_line_inside_is_named(log: MetricsLog) -> None:
    lines = log.path.read_text().splitlines()
    for wrong in ("{", "[]", "[" * 100_000, '{"stage": -1}'):
        log.path.write_text("\n".join([lines[0], wrong, *lines[2:]]) + "\n")
        with pytest.raises(UserError, match="line 2: is damaged"):
            log.records()


def test_lines_that_are_gone_are_told_of(
    log: MetricsLog, caplog: pytest.LogCaptureFixture
) -> None:
    offset = log.offset
    with log.path.open("r+b") as file:
        file.truncate(offset - 10)
    with caplog.at_level(logging.WARNING):
        log.cut(offset)
    assert "10 bytes that the run wrote there are gone" in caplog.text
    assert len(places(log)) == 7
