"""What a run has left behind, as a report tells it; of one that is still going, what is
there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.schema import Recipe
from ..data.broken import from_lines
from ..errors import UserError
from ..files import read_json, read_regular
from ..model.figures import is_usual
from ..pipeline.run_dir import RunDir
from ..pipeline.summary import summary
from ..shapes import ClipShape, shape_from_dict


@dataclass(frozen=True)
class Model:
    """The teacher or a student.

    Args:
        share: of what the run's budget counts, of the teacher.
        shape: None where it is not known.
        tasks: what it was measured on, by name: `value`, `ci95`, `n`, ... of each.
        latency: of one picture, in ms; None where it was not measured.
        alarms: the tasks that it lost, the worst first.
    """

    name: str
    share: float
    sizes: Mapping[str, int]
    bytes: int | None
    shape: ClipShape | None
    tasks: Mapping[str, Mapping[str, Any]]
    latency: float | None
    certificate: Mapping[str, Any] | None = None
    folder: str | None = None
    alarms: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Told:
    """One run.

    Args:
        finished: whether all of its stages are whole.
        steps: the lines of its metrics.
        plan, environment: as the run wrote them.
        skipped: samples that were left out, by kind.
    """

    name: str
    path: Path
    recipe: Recipe
    finished: bool
    teacher: Model
    students: tuple[Model, ...]
    steps: tuple[Mapping[str, Any], ...]
    plan: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def models(self) -> tuple[Model, ...]:
        """The teacher, and its students from the largest down."""
        return self.teacher, *self.students

    @property
    def counted(self) -> str:
        """What shares are of, in words."""
        towers = self.recipe.towers
        which = f"{towers[0]} " if len(towers) == 1 else ""
        return f"{which}{self.recipe.budget.replace('_', ' ')}"

    def main_task(self) -> str | None:
        """The task that comes first: naming before finding, and no probe."""
        tasks = usual(self.teacher)
        naming = [name for name, task in tasks.items() if "top1" in task["metric"]]
        return next(iter([*naming, *tasks]), None)


def collect(folder: Path, teacher: ClipShape | None = None) -> Told:
    """What there is of a run.

    Args:
        teacher: the shape of its teacher, where it could be loaded.

    Raises:
        UserError: the folder is no run, or a file of it is damaged.
    """
    run = RunDir(folder)
    if not run.is_run() or run.read("plan.json") is None:
        raise UserError(
            str(folder), "is no run", "Name a folder that tinyclip compress wrote"
        )
    recipe, whole = run.recipe(), summary(run)
    budget = recipe.budget
    skipped = folder / "skipped.jsonl"
    return Told(
        name=folder.resolve().name,
        path=folder,
        recipe=recipe,
        finished=whole["finished"],
        teacher=_teacher(whole["teacher"], teacher),
        students=tuple(_student(row, budget) for row in whole["students"]),
        steps=tuple(run.metrics.records()),
        plan=run.read("plan.json"),
        environment=run.read("environment.json") or {},
        skipped=_by_kind(skipped) if skipped.exists() else {},
    )


def _teacher(row: Mapping[str, Any], shape: ClipShape | None) -> Model:
    return Model(
        "teacher",
        1.0,
        row["sizes"],
        row["bytes"],
        shape,
        _tasks(row["metrics"]),
        _latency(row["metrics"]),
    )


def _student(row: Mapping[str, Any], budget: str) -> Model:
    folder = row["model"]
    config = read_json(Path(folder) / "config.json")
    return Model(
        f"stage {row['stage']}",
        row["share"].get(budget, row["share"]["encoder"]),
        row["sizes"],
        row["bytes"],
        shape_from_dict(config["shape"]),
        _tasks(row["metrics"]),
        _latency(row["metrics"]),
        row["certificate"],
        folder,
        tuple((row["metrics"] or {}).get("alarms", ())),
    )


def _tasks(metrics: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, Any]]:
    return (metrics or {}).get("tasks", {})


def _latency(metrics: Mapping[str, Any] | None) -> float | None:
    latency = (metrics or {}).get("latency")
    return None if latency is None else float(latency["median_ms"])


def _by_kind(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, _ in from_lines(read_regular(path)).values():
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def usual(model: Model) -> dict[str, Mapping[str, Any]]:
    """What a model is for: its tasks but probes, which ask what it is weak in, and what
    it does after it was shown more."""
    return {name: task for name, task in model.tasks.items() if is_usual(task)}


def tasks_in(
    runs: Sequence[Told],
    which: Callable[[Model], Mapping[str, Mapping[str, Any]]] = usual,
) -> list[str]:
    """Every task that a teacher or student was measured on, in their order.

    Args:
        which: those of a model that count.
    """
    names = (name for run in runs for model in run.models for name in which(model))
    return list(dict.fromkeys(names))
