"""What a data source offers to measure a model on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..config.schema import Data
from ..errors import UserError, nearest
from .embedded import embedded_in
from .embedded_tasks import embedded_offers
from .few_shots import few_shots
from .karpathy import is_karpathy, tested_split
from .pairs import open_pairs, open_split, split_validation
from .probes import probe
from .protocol import Pairs
from .task import (
    FEW_SHOTS,
    PROBES,
    FewShotTask,
    MultiLabelTask,
    ProbeTask,
    RetrievalTask,
    Task,
    ZeroShotTask,
)
from .templates import class_templates
from .views import Subset, label_sets_of, labels_of, source_of

__all__ = ["RetrievalTask", "Task", "ZeroShotTask", "pick", "tasks_of"]
Split = tuple[Pairs, Pairs]


class Named(Protocol):
    """A task, or the offer of one."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


@dataclass(frozen=True)
class Offer:
    """A task that can be made.

    Args:
        name: of the task.
        make: makes it; None where it would have no rows.
        usual: measured where nobody names tasks; the others cost more, or need more
            libraries, and are measured where they are named.
    """

    name: str
    make: Callable[[], Task | None]
    usual: bool = True


def pick(tasks: Sequence[N], names: Sequence[str], where: str) -> list[N]:
    """The tasks of these names, in this order.

    Raises:
        UserError: there is none of a name; `where` named it.
    """
    by_name = {task.name: task for task in tasks}
    for name in names:
        if name not in by_name:
            raise UserError(where, f"unknown task {name!r}", nearest(name, by_name))
    return [by_name[name] for name in dict.fromkeys(names)]


def tasks_of(
    data: Data,
    whole: bool = False,
    split: Split | None = None,
    names: Sequence[str] = (),
    where: str = "tasks",
) -> list[Task]:
    """The tasks that a data source offers, none of it on pairs to train on.

    An embedded set: what `embedded.EMBEDDED` says of it. Pictures with classes:
    zero-shot over these. Other pairs: retrieval. The last two on the validation pairs.
    By name also `linear_probe`, `knn` and the few-shot tasks, which learn from the
    pairs to train on.

    Args:
        whole: on every pair instead of the validation pairs, for a source that nothing
            was trained on and no `data.val` beside it; of a set with tests the tests
            stay the tests.
        split: what `open_split` gave of it, where it was asked.
        names: the tasks that are wanted; without any, the usual ones.
        where: what named them.

    Raises:
        UserError: the source cannot be opened, offers nothing to measure on, or no task
            of a name.
    """
    offers = _offers(data, whole, split)
    wanted = pick(offers, names, where) if names else [o for o in offers if o.usual]
    made = [(offer.name, offer.make()) for offer in wanted]
    tasks = [task for _, task in made if task is not None]
    if not tasks:
        raise UserError(data.source, "no test rows to measure on", "Check its splits")
    if names and (empty := [name for name, task in made if task is None]):
        raise UserError(
            data.source, f"no rows for the task {empty[0]!r}", "Leave it out"
        )
    return tasks


def _offers(data: Data, whole: bool, split: Split | None) -> list[Offer]:
    embedded = embedded_in(data)
    if embedded is not None:
        return [Offer(*offer) for offer in embedded_offers(data, embedded)]
    if is_karpathy(data) and data.val is None and (tests := tested_split(data)):
        return [Offer("retrieval", lambda: RetrievalTask("retrieval", tests))]
    if split is None and (not whole or data.val is not None):
        split = open_split(data)
    train, tested = split or (None, open_pairs(data))
    if not len(tested):
        count = len(train or ())
        raise UserError(
            data.source, f"{count} pairs leave none to measure on", "Give more"
        )
    if (sets := label_sets_of(tested)) is not None:
        return [Offer("labels", lambda: _multi_label(data, tested, sets, train))]
    if labels_of(tested) is None:
        return [Offer("retrieval", lambda: RetrievalTask("retrieval", tested))]
    probes = [
        Offer(kind, lambda kind=kind: _probe(data, kind, train, tested), usual=False)  # type: ignore[misc]
        for kind in PROBES
    ]
    shots = [
        Offer(kind, lambda kind=kind: _few_shots(data, kind, train, tested), False)  # type: ignore[misc]
        for kind in FEW_SHOTS
    ]
    return [Offer("classes", lambda: _zero_shot(data, tested, train)), *probes, *shots]


def _numbers(classes: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(classes)}


def _zero_shot(data: Data, tested: Pairs, others: Pairs | None) -> ZeroShotTask:
    """Over the classes of the sources that `tested` and `others` are parts of: a choice
    of pairs makes no test easier."""
    labels = labels_of(tested) or ()
    more = (labels_of(source_of(others)) if others is not None else None) or ()
    classes = tuple(sorted({*more, *labels}))
    numbers = _numbers(classes)
    own = tuple(numbers[name] for name in labels)
    return ZeroShotTask("classes", tested, own, classes, class_templates(data))


def _multi_label(
    data: Data,
    tested: Pairs,
    sets: Sequence[tuple[str, ...]],
    others: Pairs | None,
) -> MultiLabelTask:
    more = (label_sets_of(source_of(others)) if others is not None else None) or ()
    classes = tuple(sorted({name for names in (*more, *sets) for name in names}))
    numbers = _numbers(classes)
    labels = tuple(tuple(numbers[name] for name in names) for names in sets)
    return MultiLabelTask("labels", tested, labels, classes, class_templates(data))


def _probe(data: Data, kind: str, train: Pairs | None, tested: Pairs) -> ProbeTask:
    """A probe that learns from the pairs to train on; where all pairs are tests, from
    those that validation would leave."""
    if train is None:
        learnt, held_out = split_validation(tested)
        train, tested = Subset(tested, learnt), Subset(tested, held_out)
    labels = labels_of(train) or (), labels_of(tested) or ()
    return probe(data.source, kind, train, tested, labels)


def _few_shots(
    data: Data, kind: str, train: Pairs | None, tested: Pairs
) -> FewShotTask:
    return few_shots(data, _probe(data, kind, train, tested), class_templates(data))
