"""The figures of a run that goes on are those that it wrote."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted, UserError
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(params=[2, 4], ids=["within a phase", "at a phase's end"])
def stopped(
    one_stage: MakeRecipe, tmp_path: Path, request: pytest.FixtureRequest
) -> RunDir:
    """A run that was stopped after some steps."""
    asked, last = iter(range(10**6)), request.param
    with pytest.raises(Interrupted):
        execute(
            Request(tmp_path / "run", one_stage()), stop=lambda: next(asked) >= last
        )
    return RunDir(tmp_path / "run")


def change(run: RunDir) -> str:
    """Another figure of as many letters; the line."""
    path = run.path / "metrics.jsonl"
    text = path.read_text()
    assert '"samples": 8' in text
    path.write_text(text.replace('"samples": 8', '"samples": 9'))
    return path.read_text().splitlines()[0]


def test_lines_that_were_changed_are_refused(stopped: RunDir) -> None:
    change(stopped)
    with pytest.raises(UserError) as refused:
        execute(Request(stopped.path, resume=True))
    assert refused.value.where == str(stopped.path / "metrics.jsonl")
    assert "not those that the run wrote" in refused.value.what
    assert "--from-stage 1" in refused.value.todo


def test_changed_lines_that_are_accepted_stay_and_are_sealed(
    stopped: RunDir, caplog: pytest.LogCaptureFixture
) -> None:
    first = change(stopped)
    asked: Any = iter(range(10**6))
    with pytest.raises(Interrupted), caplog.at_level(logging.WARNING):
        execute(
            Request(stopped.path, resume=True, accept_changes=True),
            stop=lambda: next(asked) >= 0,
        )
    assert "Going on all the same" in caplog.text
    run = execute(Request(stopped.path, resume=True))
    assert (run.path / "metrics.jsonl").read_text().splitlines()[0] == first


def test_lines_that_are_gone_are_told_and_stop_nothing(
    stopped: RunDir, caplog: pytest.LogCaptureFixture
) -> None:
    (stopped.path / "metrics.jsonl").unlink()
    with caplog.at_level(logging.WARNING):
        execute(Request(stopped.path, resume=True))
    assert "bytes that the run wrote there are gone" in caplog.text
