"""Every task of a data source on one model or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..data.loader import PixelMaker
from ..data.task import FewShotTask, ProbeTask, Task, TwoObjectsTask
from ..data.tokens import TokenMaker
from ..model.clip import Clip
from . import (
    adapter,
    choice,
    coop,
    knn,
    linear_probe,
    multi_label,
    retrieval,
    two_objects,
    zero_shot,
)
from .against import difference, result
from .alarm import alarms
from .features import Encoder, look_together
from .few_shots import scale_of
from .measures import Outcome, measures

# each enters itself
__all__ = [
    "adapter",
    "choice",
    "coop",
    "knn",
    "multi_label",
    "retrieval",
    "two_objects",
    "zero_shot",
]
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


def refuse_unfit(name: str, loaded: Measurable, tasks: Sequence[Task]) -> None:
    """Find out now that a model cannot be asked what a task asks.

    Args:
        name: of the model, as it was given.

    Raises:
        UserError: which task.
    """
    for task in tasks:
        if isinstance(task, FewShotTask):
            where = f"{name}, task {task.name}"
            scale_of(encoder_of(loaded), where)
            if task.kind == "coop":
                coop.prompts_of(loaded.model, loaded.tokenizer, task.classes, where)


def outcomes(encoders: Sequence[Encoder], task: Task) -> list[Outcome]:
    """What a task finds of each of several models, which are shown each picture
    together."""
    look_together(encoders, task.pairs)
    if isinstance(task, ProbeTask | FewShotTask):
        look_together(encoders, task.train)
    if isinstance(task, TwoObjectsTask):
        look_together(encoders, task.drawings)
    measure = measures.get(task.kind, task.name)
    return [measure(encoder, task) for encoder in encoders]


def reports(
    encoders: Sequence[Encoder], tasks: Sequence[Task], teacher: Encoder | None = None
) -> list[dict[str, Any]]:
    """The quality of several models, each beside their teacher and the first of them.

    Args:
        encoders: the models.
        tasks: what to measure.
        teacher: what retention compares with.

    Returns:
        Of each model `alarms` (`alarm.alarms`), `tasks` (`against.result` by name), and
        `against_first`, the paired `against.difference` by task from the first model.
    """
    found: list[dict[str, Any]] = [
        {"alarms": [], "tasks": {}, "against_first": {}} for _ in encoders
    ]
    beside = [] if teacher is None else [teacher]
    for task in tasks:
        measured = outcomes([*beside, *encoders], task)
        theirs, own = measured[: len(beside)], measured[len(beside) :]
        for entry, outcome in zip(found, own, strict=True):
            entry["tasks"][task.name] = result(outcome, theirs[0] if theirs else None)
            entry["against_first"][task.name] = difference(outcome, own[0])
    for entry in found:
        entry["alarms"] = alarms(entry["tasks"])
    return found


def report(
    encoder: Encoder, tasks: Sequence[Task], teacher: Encoder | None = None
) -> dict[str, Any]:
    """`alarms` and `tasks` of one model, as `reports` has them."""
    (found,) = reports([encoder], tasks, teacher)
    return {"alarms": found["alarms"], "tasks": found["tasks"]}


def evaluate(
    loaded: Measurable, tasks: Sequence[Task], batch: int = BATCH
) -> dict[str, dict[str, Any]]:
    """The quality of a model by itself: `tasks` of its `report`."""
    found: dict[str, dict[str, Any]] = report(encoder_of(loaded, batch), tasks)["tasks"]
    return found
