"""What a model can be measured on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.schema import Data
from ..errors import UserError, nearest
from .classes import CLASS_TEMPLATES
from .embedded import EmbeddedFile, Naming, embedded_in
from .pairs import open_pairs, open_split
from .pictograms import Pictograms, read_columns
from .pictures import parse_background
from .protocol import Pairs
from .views import Recaptioned, Subset, labels_of, source_of


@dataclass(frozen=True, eq=False)
class ZeroShotTask:
    """Name each picture among classes.

    Args:
        name: of the task.
        pairs: the pictures; their captions are not used.
        labels: the class of each picture, an index into `classes`.
        classes: distinct names.
        templates: sentences with ``{}`` for the name.
    """

    name: str
    pairs: Pairs
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Find each picture's captions among all captions, and the other way round."""

    name: str
    pairs: Pairs


Task = ZeroShotTask | RetrievalTask


def pick(tasks: Sequence[Task], names: Sequence[str], where: str) -> list[Task]:
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
    data: Data, whole: bool = False, split: tuple[Pairs, Pairs] | None = None
) -> list[Task]:
    """Every task that a data source offers, none of it on pairs to train on.

    An embedded set: what `embedded.EMBEDDED` says of it. Class folders: zero-shot over
    the classes. Other pairs: retrieval. The last two on the validation pairs.

    Args:
        whole: on every pair instead of the validation pairs, for a source that nothing
            was trained on; of an embedded set the tests stay the tests.
        split: what `open_split` gave of it, where it was asked.

    Raises:
        UserError: the source cannot be opened, or offers nothing to measure on.
    """
    embedded = embedded_in(data)
    if embedded is not None:
        tasks = _embedded_tasks(data, embedded)
    elif whole:
        tasks = [_own_task(data, open_pairs(data))]
    else:
        train, held_out = split or open_split(data)
        tasks = [_own_task(data, held_out, train)]
    if not tasks:
        raise UserError(data.source, "no test rows to measure on", "Check its splits")
    return tasks


def _own_task(data: Data, tested: Pairs, others: Pairs | None = None) -> Task:
    """Zero-shot over the classes of the sources that `tested` and `others` are parts
    of, else retrieval: a choice of pairs makes no test easier."""
    if not len(tested):
        count = len(others or ())
        raise UserError(
            data.source, f"{count} pairs leave none to measure on", "Give more"
        )
    labels = labels_of(tested)
    if labels is None:
        return RetrievalTask("retrieval", tested)
    more = (labels_of(source_of(others)) if others is not None else None) or ()
    classes = tuple(sorted({*more, *labels}))
    numbers = {name: i for i, name in enumerate(classes)}
    return ZeroShotTask(
        "classes",
        tested,
        tuple(numbers[name] for name in labels),
        classes,
        CLASS_TEMPLATES,
    )


def _embedded_tasks(data: Data, embedded: EmbeddedFile) -> list[Task]:
    """What an embedded set is measured on, but for what has no rows."""
    background = parse_background(data.background)
    opened: dict[tuple[str, str], Pictograms] = {}

    def rows(split: str, kind: str) -> Pictograms:
        def is_asked(of_split: str, of_kind: str) -> bool:
            return of_split == split and of_kind == kind

        if (split, kind) not in opened:  # tasks on the same pictures share them
            opened[split, kind] = Pictograms(
                embedded.path, data.source, is_asked, background, tuple(data.exclude)
            )
        return opened[split, kind]

    tasks: list[Task] = []
    for measure in embedded.about.measures:
        pairs = rows(measure.split, measure.kind)
        if isinstance(measure, Naming):
            classes = _classes(data, embedded.path, measure)
            tasks.append(_naming(measure, pairs, classes))
        elif measure.keywords is None:
            tasks.append(RetrievalTask(measure.task, pairs))
        else:
            tasks.append(RetrievalTask(measure.task, _unique(pairs, measure.keywords)))
    return [task for task in tasks if len(task.pairs)]


def _classes(data: Data, path: Path, measure: Naming) -> tuple[str, ...]:
    """All that a column says of pictures of a kind, in whatever split."""
    column = measure.column
    rows = read_columns(path, data.source, (column, "kind")).to_pylist()
    names = {row[column] for row in rows if row["kind"] == measure.kind and row[column]}
    return tuple(sorted({_class_name(column, name) for name in names}))


def _naming(
    measure: Naming, pairs: Pictograms, classes: tuple[str, ...]
) -> ZeroShotTask:
    numbers = {name: i for i, name in enumerate(classes)}
    names = (
        _class_name(measure.column, value) for value in pairs.values(measure.column)
    )
    labels = tuple(numbers[name] for name in names)
    return ZeroShotTask(measure.task, pairs, labels, classes, measure.templates)


def _class_name(column: str, name: str) -> str:
    """A name as one would say it: the group ``animals-nature`` is two words."""
    return name if column == "name" else " ".join(re.split(r"[-_/\s]+", name))


def _unique(pairs: Pictograms, most: int) -> Recaptioned:
    """Each picture under name and first keywords; those that share them left out."""
    captions = [
        ", ".join([name, *(keywords or [])[:most]])
        for name, keywords in zip(
            pairs.values("name"), pairs.values("keywords"), strict=True
        )
    ]
    times = Counter(captions)
    alone = [i for i, caption in enumerate(captions) if times[caption] == 1]
    return Recaptioned(Subset(pairs, alone), [captions[i] for i in alone])
