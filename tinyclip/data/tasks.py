"""What a model can be measured on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.schema import Data
from ..errors import UserError, nearest
from .classes import CLASS_TEMPLATES
from .pairs import open_pairs, open_split, pictograms_path
from .pictograms import Pictograms, read_columns
from .pictures import parse_background
from .protocol import Pairs
from .views import Recaptioned, Subset, labels_of

EMOJI_TEMPLATES = ("an emoji of {}", "{}", "a picture of {}")
CLIPART_KEYWORDS = 3


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
    known = {task.name: task for task in tasks}
    for name in names:
        if name not in known:
            raise UserError(where, f"unknown task {name!r}", nearest(name, known))
    return [known[name] for name in dict.fromkeys(names)]


def tasks_of(
    data: Data, whole: bool = False, split: tuple[Pairs, Pairs] | None = None
) -> list[Task]:
    """Every task that a data source offers, none of it on pairs to train on.

    The embedded set: held-out designer, unseen concepts, clip-art retrieval and, for
    choices, `dev`. Class folders: zero-shot over the classes. Other pairs: retrieval.
    The last two on the validation pairs.

    Args:
        whole: on every pair instead of the validation pairs, for a source that nothing
            was trained on; of the embedded set the tests stay the tests.
        split: what `open_split` gave of it, where it was asked.

    Raises:
        UserError: the source cannot be opened, or offers nothing to measure on.
    """
    path = pictograms_path(data)
    if path is None and whole:
        tasks = [_own_task(data, open_pairs(data))]
    elif path is None:
        train, held_out = split or open_split(data)
        tasks = [_own_task(data, held_out, train)]
    else:
        tasks = _pictogram_tasks(data, path)
    if not tasks:
        raise UserError(data.source, "no test rows to measure on", "Check its splits")
    return tasks


def _own_task(data: Data, tested: Pairs, others: Pairs | None = None) -> Task:
    """Zero-shot over the classes that `tested` or `others` have, else retrieval."""
    if not len(tested):
        count = len(others or ())
        raise UserError(
            data.source, f"{count} pairs leave none to measure on", "Give more"
        )
    labels = labels_of(tested)
    if labels is None:
        return RetrievalTask("retrieval", tested)
    more = (labels_of(others) if others is not None else None) or ()
    classes = tuple(sorted({*more, *labels}))
    at = {name: i for i, name in enumerate(classes)}
    return ZeroShotTask(
        "classes",
        tested,
        tuple(at[name] for name in labels),
        classes,
        CLASS_TEMPLATES,
    )


def _pictogram_tasks(data: Data, path: Path) -> list[Task]:
    table = read_columns(path, data.source, ("name", "group", "subgroup", "kind"))
    emoji = [row for row in table.to_pylist() if row["kind"] == "emoji"]
    background = parse_background(data.background)

    def rows(split: str, kind: str) -> Pictograms:
        def wanted(of_split: str, of_kind: str) -> bool:
            return of_split == split and of_kind == kind

        return Pictograms(path, data.source, wanted, background, tuple(data.exclude))

    def names(column: str) -> tuple[str, ...]:
        found = {row[column] for row in emoji if row[column]}
        return tuple(sorted({_said(column, name) for name in found}))

    unseen = rows("test_unseen", "emoji")
    tasks: list[Task] = [
        _naming("designer", rows("test_designer", "emoji"), "name", names),
        _naming("unseen_groups", unseen, "group", names),
        _naming("unseen_subgroups", unseen, "subgroup", names),
        RetrievalTask("clipart", _unique(rows("test_clipart", "clipart"))),
        _naming("dev", rows("dev", "emoji"), "name", names),
    ]
    return [task for task in tasks if len(task.pairs)]


def _naming(
    name: str, pairs: Pictograms, column: str, names: Callable[[str], tuple[str, ...]]
) -> ZeroShotTask:
    classes = names(column)
    at = {name: i for i, name in enumerate(classes)}
    labels = tuple(at[_said(column, value)] for value in pairs.values(column))
    return ZeroShotTask(name, pairs, labels, classes, EMOJI_TEMPLATES)


def _said(column: str, name: str) -> str:
    """A name as one would say it: the group ``animals-nature`` is two words."""
    return name if column == "name" else " ".join(re.split(r"[-_/\s]+", name))


def _unique(pairs: Pictograms) -> Recaptioned:
    """Each picture under name and first keywords; those that share them left out."""
    captions = [
        ", ".join([name, *(keywords or [])[:CLIPART_KEYWORDS]])
        for name, keywords in zip(
            pairs.values("name"), pairs.values("keywords"), strict=True
        )
    ]
    times = Counter(captions)
    alone = [i for i, caption in enumerate(captions) if times[caption] == 1]
    return Recaptioned(Subset(pairs, alone), [captions[i] for i in alone])
