"""Every task of a data source on one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..data.loader import PixelMaker
from ..data.tasks import RetrievalTask, Task, ZeroShotTask
from ..data.tokens import TokenMaker
from ..model.clip import Clip
from .features import Encoder
from .retrieval import retrieval
from .zero_shot import zero_shot

# how each kind of task is measured: {metric, value, ci95, n, also}
MEASURES: dict[type, Callable[[Encoder, Any], dict[str, Any]]] = {
    ZeroShotTask: zero_shot,
    RetrievalTask: retrieval,
}


class Measurable(Protocol):
    """What is asked of a loaded model."""

    @property
    def model(self) -> Clip: ...

    @property
    def preprocess(self) -> PixelMaker: ...

    @property
    def tokenizer(self) -> TokenMaker: ...


def evaluate(
    loaded: Measurable,
    tasks: Sequence[Task],
    teacher_values: Mapping[str, float] | None = None,
    batch: int = 256,
) -> dict[str, dict[str, Any]]:
    """The quality of a model.

    Args:
        loaded: a model with its preprocess and tokenizer.
        tasks: what to measure.
        teacher_values: the teacher's value of each task (`values_of` its own result).
        batch: pictures or texts that are encoded at once.

    Returns:
        By name of the task: `metric`, `value`, `ci95` (Wilson), `n`, `teacher`,
        `retention` (value by the teacher's value; None where that is unknown or 0)
        and, under `also`, further metrics.
    """
    encoder = Encoder(loaded.model, loaded.preprocess, loaded.tokenizer, batch)
    teachers = teacher_values or {}
    results: dict[str, dict[str, Any]] = {}
    for task in tasks:
        measured = MEASURES[type(task)](encoder, task)
        also = measured.pop("also")
        teacher = teachers.get(task.name)
        retention = measured["value"] / teacher if teacher else None
        results[task.name] = {
            **measured,
            "teacher": teacher,
            "retention": retention,
            "also": also,
        }
    return results


def values_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The value of each task of a result: what `evaluate` asks of a teacher."""
    return {name: float(result["value"]) for name, result in results.items()}
