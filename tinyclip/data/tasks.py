"""What a data source offers to measure a model on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from ..config.schema import Data
from ..errors import UserError, nearest
from .caption_probes import caption_offers, name_offers, told_by_captions
from .embedded import embedded_in
from .embedded_tasks import embedded_offers
from .few_shots import few_shots
from .foils import foils, is_foils
from .karpathy import is_karpathy, tested_split
from .negation import Shown
from .notes import note
from .pairs import open_pairs, open_split, split_validation
from .probes import probe
from .protocol import Pairs
from .task import (
    ADAPTATIONS,
    FEW_SHOTS,
    GROUPS,
    PROBES,
    USUAL,
    WEAKNESSES,
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


@dataclass(frozen=True)
class Offer:
    """A task that can be made.

    Args:
        name: of the task.
        make: makes it; None where it would have no rows.
        group: one of `GROUPS`, which is named in place of all its tasks; "" of a task
            that is measured only where it is named itself.
    """

    name: str
    make: Callable[[], Task | None]
    group: str = USUAL


def pick(offers: Sequence[Offer], names: Sequence[str], where: str) -> list[Offer]:
    """The offers of these names, in this order; a group's name stands for all of it.

    Raises:
        UserError: there is none of a name; `where` named it.
    """
    named: dict[str, list[Offer]] = {offer.name: [offer] for offer in offers}
    for group in GROUPS:
        named[group] = [offer for offer in offers if offer.group == group]
    for name in names:
        if name not in named:
            raise UserError(where, f"unknown task {name!r}", nearest(name, named))
        if not named[name]:
            raise UserError(where, f"the data offers no {name}", "Leave them out")
    picked = {offer.name: offer for name in names for offer in named[name]}
    return [*picked.values()]


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
    A `json:` file of true and false captions: the choice between these. By name also
    `linear_probe`, `knn` and few shots, which learn from the pairs to train on, and
    probes of what CLIP is weak in.

    Args:
        whole: on every pair instead of the validation pairs, for a source that nothing
            was trained on and no `data.val` beside it; of a set with tests the tests
            stay the tests.
        split: what `open_split` gave of it, where it was asked.
        names: the tasks that are wanted, or `GROUPS` of them; without any, the usual
            ones.
        where: what named them.

    Raises:
        UserError: the source cannot be opened, offers nothing to measure on, or no task
            of a name.
    """
    wanted = pick(_offers(data, whole, split), names or [USUAL], where)
    made = [(offer, offer.make()) for offer in wanted]
    for offer in (offer for offer, task in made if task is None):
        what = f"no rows for the task {offer.name!r}"
        if offer.name in names:
            raise UserError(data.source, what, "Leave it out")
        if offer.group == WEAKNESSES:
            note(f"{data.source}: {what}, which is left out")
    tasks = [task for _, task in made if task is not None]
    if not tasks and names:
        what = f"no rows for any of the tasks {', '.join(names)}"
        raise UserError(data.source, what, "Leave them out")
    if not tasks:
        raise UserError(data.source, "no test rows to measure on", "Check its splits")
    return tasks


def _offers(data: Data, whole: bool, split: Split | None) -> list[Offer]:
    embedded = embedded_in(data)
    if embedded is not None:
        return [Offer(*offer) for offer in embedded_offers(data, embedded)]
    if is_foils(data):
        if data.val is not None:
            what = f"{data.source} is measured itself, and {data.val} would not be"
            raise UserError("data.val", what, "Leave it out, or name it as the data")
        return [Offer("choice", lambda: foils(data))]
    if is_karpathy(data) and data.val is None and (tests := tested_split(data)):
        return _of_captions(tests)
    if split is None and (not whole or data.val is not None):
        split = open_split(data)
    train, tested = split or (None, open_pairs(data))
    if not len(tested):
        count = len(train or ())
        raise UserError(
            data.source, f"{count} pairs leave none to measure on", "Give more"
        )
    if (sets := label_sets_of(tested)) is not None:
        labels = Offer("labels", lambda: _multi_label(data, tested, sets, train))
        return [labels, *_of_names(tested, sets)]
    if (classes := labels_of(tested)) is None:
        return _of_captions(tested)
    probes = [
        Offer(kind, lambda kind=kind: _probe(data, kind, train, tested), "")  # type: ignore[misc]
        for kind in PROBES
    ]
    shots = [
        Offer(kind, lambda kind=kind: _few_shots(data, kind, train, tested), FEW_SHOTS)  # type: ignore[misc]
        for kind in ADAPTATIONS
    ]
    naming = Offer("classes", lambda: _zero_shot(data, tested, train))
    names = _of_names(tested, [(name,) for name in classes])
    return [naming, *probes, *shots, *names]


def _of_captions(tested: Pairs) -> list[Offer]:
    """Retrieval, and probes on captions."""
    told = cache(lambda: told_by_captions(tested))
    probes = [Offer(*offer, WEAKNESSES) for offer in caption_offers(told)]
    return [Offer("retrieval", lambda: RetrievalTask("retrieval", tested)), *probes]


def _of_names(tested: Pairs, sets: Sequence[tuple[str, ...]]) -> list[Offer]:
    """Probes on what pictures with classes show, the first of them named."""
    said = [[name.lower() for name in names] for names in sets]
    named = [names[0] if names else "" for names in said]
    offers = name_offers(lambda: Shown(tested, named, said))
    return [Offer(*offer, WEAKNESSES) for offer in offers]


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
