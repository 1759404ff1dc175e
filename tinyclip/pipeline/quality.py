"""How good a model is on a data source, alone and beside its teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..config.schema import Data
from ..data.refused import refuse_unsound
from ..data.tasks import tasks_of
from ..errors import UserError
from ..evaluation.suite import evaluate, refuse_unmeasurable, values_of
from ..formats.lookup import open_model

Say = Callable[[str], None]


def measure(
    model: str,
    data: Data,
    tasks: Sequence[str] | None,
    against: str | None,
    say: Say,
) -> dict[str, Any]:
    """What `tinyclip evaluate --json` prints.

    Args:
        model: a model directory, a run, an exported folder, or another source.
        tasks: names of those that are measured; all of the data's without any.
        against: what retention compares with; the teacher that the model names, where
            it can be loaded, without one.
        say: told what is done next, and why there is no retention.

    Raises:
        UserError: model, data, tasks or teacher cannot be had.
    """
    loaded = open_model(model).loaded
    # a source that the model was trained on is measured on its held-out pairs only
    trained_on = loaded.config.get("provenance", {}).get("data") == data.source
    chosen = tasks_of(data, not trained_on, names=tasks or (), where="--tasks")
    refuse_unsound(data, chosen)
    refuse_unmeasurable(chosen)
    name, teacher = _teacher(loaded, against, say)
    teacher_values = None
    if teacher is not None:
        say(f"measuring the teacher {name} ...")
        teacher_values = values_of(evaluate(teacher, chosen))
    say(f"measuring {model} on {', '.join(task.name for task in chosen)} ...")
    return {
        "model": model,
        "data": data.source,
        "against": name,
        "tasks": evaluate(loaded, chosen, teacher_values),
    }


def _teacher(loaded: Any, against: str | None, say: Say) -> tuple[str | None, Any]:
    """The model to compare with, and its name; without one, it is said why."""
    if against is not None:
        return against, open_model(against, "--against").loaded
    named = loaded.config.get("provenance", {}).get("teacher")
    if not isinstance(named, str) or not named:
        say("the model names no teacher: no retention (name one with --against)")
        return None, None
    try:
        return named, open_model(named, "the model's teacher").loaded
    except UserError as error:
        say(f"no retention (name the teacher with --against): {error}")
        return None, None
