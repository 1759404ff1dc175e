"""What a run survives, and what it refuses."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted, TinyclipError, UserError
from tinyclip.pipeline import descent
from tinyclip.pipeline.lock import LOCK, locked
from tinyclip.pipeline.phases.distil import DistilPhase
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], bool]], None]:
    """Make the distil loss not a number at some steps."""
    objective = DistilPhase.objective

    def install(bad: Callable[[int], bool]) -> None:
        def poisoned(self: DistilPhase, mine: Any, theirs: Any, step: int) -> Any:
            loss, parts = objective(self, mine, theirs, step)
            return (loss * torch.nan if bad(step) else loss), parts

        monkeypatch.setattr(DistilPhase, "objective", poisoned)

    return install


def test_a_step_that_is_not_a_number_is_skipped_and_counted(
    one_stage: MakeRecipe, poison: Any, tmp_path: Path
) -> None:
    poison(lambda step: step == 1)
    run = execute(Request(tmp_path / "run", one_stage("log_every=1")))
    lines = [r for r in run.metrics.records() if r["phase"] == "distil"]
    assert [line.get("skipped", 0) for line in lines] == [0, 1, 1, 1]
    assert lines[1]["loss"] is None
    assert all(line["loss"] is not None for line in lines[2:])


def test_too_many_such_steps_go_back_once_and_then_stop(
    one_stage: MakeRecipe,
    poison: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    poison(lambda step: step >= 4)
    recipe = one_stage("stages[*].distil.steps=40", "max_skipped_share=0.1")
    with pytest.raises(TinyclipError, match="again. Try a lower learning rate"):
        execute(Request(tmp_path / "run", recipe))
    assert "Going back to step" in caplog.text
    assert "0.3 times the learning rate" in caplog.text


def test_after_going_back_the_learning_rate_is_lower(
    one_stage: MakeRecipe, poison: Any, tmp_path: Path
) -> None:
    calls = {"n": 0}

    def bad(step: int) -> bool:
        calls["n"] += 1
        return 4 <= calls["n"] <= 15

    poison(bad)
    recipe = one_stage(
        "stages[*].distil.steps=40",
        "max_skipped_share=0.1",
        "stages[*].distil.optim.schedule=constant",
        "stages[*].distil.optim.warmup=0",
    )
    run = execute(Request(tmp_path / "run", recipe))
    rates = [r["lr"] for r in run.metrics.records() if r["phase"] == "distil"]
    assert rates[-1] == pytest.approx(0.3 * rates[0])
    steps = [r["step"] for r in run.metrics.records() if r["phase"] == "distil"]
    assert steps == list(range(1, 41))


def test_a_run_in_use_is_refused(one_stage: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"), pytest.raises(UserError, match="is in use by"):
        execute(Request(tmp_path / "run", one_stage()))
    assert not (tmp_path / "run" / LOCK).exists()


@pytest.fixture
def stopped(one_stage: MakeRecipe, tmp_path: Path) -> Path:
    """A run that was interrupted in its second step."""
    asked = iter(range(100))
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", one_stage()), stop=lambda: next(asked) >= 1)
    return tmp_path / "run"


def begun_under_an_old_torch(path: Path) -> None:
    run = RunDir(path)
    world = run.read("environment.json")
    world["libraries"]["torch"] = "1.9.1"
    run.write("environment.json", world)


def test_another_library_is_refused_with_what_changed(stopped: Path) -> None:
    begun_under_an_old_torch(stopped)
    with pytest.raises(UserError, match=r"torch: 1\.9\.1 -> ") as refused:
        execute(Request(stopped, resume=True))
    assert "--accept-changes" in str(refused.value)


def test_accepted_changes_are_told_and_gone_on_with(
    stopped: Path, one_stage: MakeRecipe, caplog: pytest.LogCaptureFixture
) -> None:
    begun_under_an_old_torch(stopped)
    changed = one_stage("stages[*].distil.steps=3")
    with caplog.at_level(logging.WARNING):
        run = execute(Request(stopped, changed, resume=True, accept_changes=True))
    assert "torch: 1.9.1 -> " in caplog.text
    assert run.is_done(run.recipe())
    assert run.recipe().stages[0].distil.steps == 3


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    whole = execute(Request(tmp_path / "whole", one_stage()))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    asked = iter(range(100))

    def fill_the_disk() -> bool:
        if next(asked) == 2:  # no file may grow over this from here on
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        return False

    out = tmp_path / "run"
    try:
        with pytest.raises(UserError, match="cannot be written .*ulimit -f") as full:
            execute(Request(out, one_stage()), stop=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"tinyclip compress --resume --out {out}" in str(full.value)
    assert not list(out.rglob("*.part-*"))
    run = execute(Request(out, resume=True))
    weights = [(r.model / "model.safetensors").read_bytes() for r in (whole, run)]
    assert weights[0] == weights[1]


def test_a_tensorboard_gets_the_figures_of_metrics_jsonl(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    run = execute(Request(tmp_path / "run", one_stage(), log_with="tensorboard"))
    events = EventAccumulator(str(run.path / "tracking" / "run")).Reload()
    seen = [(e.step, e.value) for e in events.Scalars("distil/loss")]
    lines = [r for r in run.metrics.records() if r["phase"] == "distil"]
    assert [step for step, _ in seen] == [line["samples"] for line in lines]
    assert [value for _, value in seen] == pytest.approx([r["loss"] for r in lines])
    assert "learn/p" in events.Tags()["scalars"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("--random=2", "--points=3", "--redo=0"),
        ("--random=2", "--points=0", "--redo=0", "--set=data.workers=2"),
    ],
    ids=["plain", "workers"],
)
def test_killed_at_any_moment_and_resumed_gives_the_same_bytes(
    words: tuple[str, ...],
) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "benchmarks/kill.py", *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["identical"] and report["random_kills"] == 2
    assert {"settings", "seed", "random_runs", "flushes"} <= set(report)
    assert report["died_identical"] == report["died_at"]


@pytest.mark.slow
def test_a_killed_launch_of_two_processes_gives_the_same_bytes() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "benchmarks/kill.py", "--random=0", "--points=0"]
        + ["--launched=1", "--seed=1"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["launched_identical"]


def test_a_phase_of_which_every_step_was_skipped_is_an_error(
    one_stage: MakeRecipe, poison: Any, tmp_path: Path
) -> None:
    poison(lambda _step: True)
    words = r"stage 1, distil: all 3 steps had a loss or gradient that is not a number"
    for resume in (False, True):
        recipe = None if resume else one_stage("stages[*].distil.steps=3")
        with pytest.raises(UserError, match=words):
            execute(Request(tmp_path / "run", recipe, resume=resume))


def test_states_of_other_settings_are_not_gone_on_with(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = descent.stage_fingerprints
    monkeypatch.setattr(
        descent, "stage_fingerprints", lambda *given: [p + "x" for p in real(*given)]
    )
    with pytest.raises(UserError, match="was made with other settings.*--from-stage 1"):
        execute(Request(stopped, resume=True))
    run = execute(Request(stopped, resume=True, accept_changes=True))
    assert run.is_done(run.recipe())
