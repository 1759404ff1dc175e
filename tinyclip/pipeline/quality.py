"""How good models are on a data source, alone, beside each other and their teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.schema import Data
from ..data.refused import refuse_unsound
from ..data.task import Task
from ..data.tasks import tasks_of
from ..errors import UserError
from ..evaluation.suite import (
    encoder_of,
    refuse_unfit,
    refuse_unmeasurable,
    reports,
)
from ..formats.lookup import open_model
from .unfinished import usable

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Args:
        data: the pairs.
        tasks: names of those that are measured; the usual ones without any.
        against: what retention compares with; the teacher that the models name, where
            it can be loaded, without one.
        fail_under: the least retention; it needs a teacher.
    """

    data: Data
    tasks: Sequence[str] | None = None
    against: str | None = None
    fail_under: float | None = None


def measure(model: str, asked: Asked, say: Say) -> dict[str, Any]:
    """What `tinyclip evaluate --json` prints.

    Args:
        model: a model directory, a run (of one that still goes, its last whole stage),
            an exported folder, or another source.
        say: told what is done next, and why there is no retention.

    Raises:
        UserError: model, data, tasks or teacher cannot be had.
    """
    report = _measured([model], asked, say)
    (found,) = report.pop("models")
    shown = {key: found[key] for key in ("alarms", "tasks")}
    return {"model": found["model"], **report, **shown}


def compare(models: Sequence[str], asked: Asked, say: Say) -> dict[str, Any]:
    """What `tinyclip compare --json` prints.

    Raises:
        UserError: as `measure`.
    """
    return _measured(models, asked, say)


def _measured(models: Sequence[str], asked: Asked, say: Say) -> dict[str, Any]:
    opened = [open_model(usable(name, say)).loaded for name in models]
    tasks = _tasks(opened, asked)
    for name, loaded in zip(models, opened, strict=True):
        refuse_unfit(name, loaded, tasks)
    against, teacher = _teacher(opened, asked, say)
    if against is not None:
        refuse_unfit(against, teacher, tasks)
    names = ", ".join(task.name for task in tasks)
    beside = f" and the teacher {against}" if teacher is not None else ""
    say(f"measuring {', '.join(models)}{beside} on {names} ...")
    found = reports(
        [encoder_of(loaded) for loaded in opened],
        tasks,
        None if teacher is None else encoder_of(teacher),
    )
    return {
        "data": asked.data.source,
        "against": against,
        "models": [
            {"model": name, **entry} for name, entry in zip(models, found, strict=True)
        ],
    }


def _provenance(loaded: Any) -> dict[str, Any]:
    provenance: dict[str, Any] = loaded.config.get("provenance", {})
    return provenance


def _seen(loaded: Any) -> set[Any]:
    """The sources that a model learnt from, or what repaired it."""
    repair = loaded.config.get("repair") or {}
    return {_provenance(loaded).get("data"), repair.get("data")}


def _tasks(opened: Sequence[Any], asked: Asked) -> list[Task]:
    """What a source is tested on; what one of the models was trained on, on its
    held-out pairs only.

    Raises:
        UserError: there is no such task, or it cannot be measured.
    """
    source = asked.data.source
    trained_on = any(source in _seen(each) for each in opened)
    names = () if asked.tasks is None else asked.tasks
    tasks = tasks_of(asked.data, not trained_on, names=names, where="--tasks")
    refuse_unsound(asked.data, tasks)
    refuse_unmeasurable(tasks)
    return tasks


def named_teacher(loaded: Any, say: Say) -> Any:
    """The teacher that a model names, loaded; None where it names none, and where it
    cannot be had, which is said."""
    named = _provenance(loaded).get("teacher")
    if not isinstance(named, str) or not named:
        return None
    try:
        return open_model(named, "the model's teacher").loaded
    except UserError as error:
        say(f"its teacher cannot be loaded ({error}): no retention")
        return None


def _teacher(opened: Sequence[Any], asked: Asked, say: Say) -> tuple[str | None, Any]:
    """The model to compare with, and its name; without one, it is said why.

    Raises:
        UserError: it was named and cannot be had, or there has to be one.
    """
    if asked.against is not None:
        return asked.against, open_model(asked.against, "--against").loaded
    named = [_provenance(loaded).get("teacher") for loaded in opened]
    teachers = list(dict.fromkeys(t for t in named if isinstance(t, str) and t))
    if len(teachers) == 1:
        try:
            return teachers[0], open_model(teachers[0], "the model's teacher").loaded
        except UserError as error:
            why = f"the teacher cannot be loaded ({error})"
    elif teachers:
        why = f"the models name several teachers ({', '.join(teachers)})"
    else:
        why = "the model names no teacher"
    if asked.fail_under is not None:
        raise UserError("--fail-under", why, "Name one with --against")
    say(f"{why}: no retention (name one with --against)")
    return None, None
