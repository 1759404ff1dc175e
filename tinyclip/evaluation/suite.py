"""Every task of a data source on one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..data.loader import PixelMaker
from ..data.task import ProbeTask, Task
from ..data.tokens import TokenMaker
from ..model.clip import Clip
from . import knn, linear_probe, multi_label, retrieval, zero_shot
from .features import Encoder, look_together
from .measures import Outcome, measures

__all__ = ["knn", "multi_label", "retrieval", "zero_shot"]  # each enters itself
BATCH = 256


class Measurable(Protocol):
    """What is asked of a loaded model."""

    @property
    def model(self) -> Clip: ...

    @property
    def preprocess(self) -> PixelMaker: ...

    @property
    def tokenizer(self) -> TokenMaker: ...


def encoder_of(loaded: Measurable, batch: int = BATCH) -> Encoder:
    """What encodes pictures and texts with a model.

    Args:
        batch: pictures or texts that are encoded at once.
    """
    return Encoder(loaded.model, loaded.preprocess, loaded.tokenizer, batch)


def refuse_unmeasurable(tasks: Sequence[Task]) -> None:
    """Find out now, not after a model was trained, that a task needs a library.

    Raises:
        UserError: which is not installed.
    """
    for task in tasks:
        if task.kind == "linear_probe":
            linear_probe.require(task.name)


def outcomes(encoders: Sequence[Encoder], task: Task) -> list[Outcome]:
    """What a task finds of each of several models, which are shown each picture
    together."""
    look_together(encoders, task.pairs)
    if isinstance(task, ProbeTask):
        look_together(encoders, task.train)
    measure = measures.get(task.kind, task.name)
    return [measure(encoder, task) for encoder in encoders]


def evaluate(
    loaded: Measurable,
    tasks: Sequence[Task],
    teacher_values: Mapping[str, float] | None = None,
    batch: int = BATCH,
) -> dict[str, dict[str, Any]]:
    """The quality of a model.

    Args:
        loaded: a model with its preprocess and tokenizer.
        tasks: what to measure.
        teacher_values: the teacher's value of each task (`values_of` its own result).
        batch: pictures or texts that are encoded at once.

    Returns:
        By name of the task: `metric`, `value`, `ci95`, `n`, `clusters`, `chance`,
        `teacher`, `retention` (value by the teacher's value; None where that is unknown
        or 0), under `also` further figures, and under `intervals` how sure these are.
    """
    encoder = encoder_of(loaded, batch)
    teachers = teacher_values or {}
    results: dict[str, dict[str, Any]] = {}
    for task in tasks:
        (found,) = outcomes([encoder], task)
        results[task.name] = result(found, teachers.get(task.name))
    return results


def result(found: Outcome, teacher: float | None) -> dict[str, Any]:
    """An outcome as a report has it, beside the teacher's value."""
    told = found.told()
    also, sure = told.pop("also"), told.pop("intervals")
    retention = found.value / teacher if teacher else None
    own = {"teacher": teacher, "retention": retention}
    return {**told, **own, "also": also, "intervals": sure}


def values_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The value of each task of a result: what `evaluate` asks of a teacher."""
    return {name: float(result["value"]) for name, result in results.items()}
