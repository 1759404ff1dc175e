"""What a run measures of its students, and what it does with a loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyclip.cli import compress as verb
from tinyclip.cli.main import run as command
from tinyclip.cli.tables import show_summary
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.evaluation.features import Encoder
from tinyclip.pipeline import scheduler
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir

MakeRecipe = Callable[..., Recipe]
FEW = (
    "evaluate=true",
    "tasks=[]",
    "stages[*].learn.steps=2",
    "stages[*].distil.steps=2",
)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Any]:
    return lambda run, *parts: json.loads(run.path.joinpath(*parts).read_text())


@pytest.mark.slow
def test_each_student_is_measured_beside_a_teacher_that_looks_once(
    pico_recipe: MakeRecipe, tmp_path: Path, read, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes: list[int] = []
    take = Encoder.take

    def counted(self: Encoder, source: Any, rows: Any, pixels: Any) -> None:
        takes.append(id(self))
        take(self, source, rows, pixels)

    monkeypatch.setattr(Encoder, "take", counted)
    recipe = pico_recipe(*FEW)
    recipe = replace(recipe, stages=recipe.stages[:2])
    run = scheduler.execute(Request(tmp_path / "run", recipe))
    teacher = read(run, "teacher.json")["tasks"]["retrieval"]
    for folder in run.stages(run.recipe()):
        metrics = json.loads((folder.model / "metrics.json").read_text())
        task = metrics["tasks"]["retrieval"]
        assert task["teacher"] == teacher["value"]
        change = task["value"] - teacher["value"]
        assert task["difference"]["value"] == pytest.approx(change)
        assert isinstance(metrics["alarms"], list)
    assert [takes.count(each) for each in dict.fromkeys(takes)] == [1, 1, 1]


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A run that ends at once; the caller fills in what was measured."""
    task = {"metric": "top1", "value": 0.1, "retention": 0.2, "teacher": 0.5}
    alarm = {**task, "task": "stl", "chance": 0.1, "median": None, "reasons": ["bound"]}
    metrics = {"tasks": {"stl": {**task, "ci95": [0, 1]}}, "alarms": [alarm]}
    sizes = {"encoder": 1, "total": 2}
    student = {"stage": 1, "model": "m", "bytes": 4, "sizes": sizes, "metrics": metrics}
    report = {
        "run": "r",
        "model": "m",
        "towers": ["image", "text"],
        "budget": "encoder",
        "teacher": {"source": "t", "sizes": sizes, "bytes": 8, "metrics": metrics},
        "students": [{**student, "share": {"encoder": 0.5, "total": 0.5}}],
    }
    monkeypatch.setattr(scheduler, "execute", lambda *_: RunDir(tmp_path))
    monkeypatch.setattr("tinyclip.pipeline.summary.summary", lambda run: report)
    monkeypatch.chdir(tmp_path)
    return report


@pytest.mark.parametrize(("least", "code"), [("0.9", 4), ("0.2", 0)])
def test_a_last_student_that_keeps_too_little_is_exit_4(
    finished: dict[str, Any], capsys: pytest.CaptureFixture[str], least: str, code: int
) -> None:
    assert command(["compress", "smoke", "--fail-under", least]) == code
    assert ("m keeps less than" in capsys.readouterr().err) == bool(code)


def test_alarms_stand_before_the_family(
    finished: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    show_summary(finished)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("ALARM stage 1: stl keeps 20.0 % of the teacher's top1")


def test_a_run_of_before_there_were_alarms_is_shown(finished: dict[str, Any]) -> None:
    del finished["students"][0]["metrics"]["alarms"]
    show_summary(finished)
    finished["students"][0]["metrics"] = None
    show_summary(finished)


def test_where_nothing_is_measured_nothing_can_be_too_little(
    pico_recipe: MakeRecipe,
) -> None:
    with pytest.raises(UserError, match="--fail-under: the recipe measures no student"):
        verb.refuse_unmeasured(pico_recipe("evaluate=false"))


def test_a_task_that_there_is_not_is_found_by_a_dry_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["compress", "smoke", "--set", "tasks=[clipat]", "--dry-run"]
    assert command(words) == 2
    assert "unknown task 'clipat'. Did you mean 'clipart'?" in capsys.readouterr().err
