"""What an embedded set is measured on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..config.schema import Data
from .embedded import EmbeddedFile, Finding, Naming, Probing
from .pictograms import Pictograms, read_columns
from .pictures import parse_background
from .probes import probe
from .task import PROBES, ProbeTask, RetrievalTask, Task, ZeroShotTask
from .templates import class_templates
from .views import Recaptioned, Subset, rows_of

Rows = Callable[[str, str], Pictograms]  # of a split and a kind


def embedded_offers(
    data: Data, embedded: EmbeddedFile
) -> Iterator[tuple[str, Callable[[], Task | None], bool]]:
    """Name, maker and whether it is usual of each task; one without rows is None."""
    rows = _opened(data, embedded.path)
    for measure in embedded.about.measures:
        make = partial(_made, data, embedded.path, measure, rows)
        yield measure.task, make, True
    if (probing := embedded.about.probing) is not None:
        for kind in PROBES:
            yield kind, partial(_probe, data, kind, probing, rows), False


def _opened(data: Data, path: Path) -> Rows:
    """What opens rows of the file; tasks on the same pictures share them."""
    background = parse_background(data.background)
    opened: dict[tuple[str, str], Pictograms] = {}

    def rows(split: str, kind: str) -> Pictograms:
        def is_asked(of_split: str, of_kind: str) -> bool:
            return of_split == split and of_kind == kind

        if (split, kind) not in opened:
            opened[split, kind] = Pictograms(
                path, data.source, is_asked, background, tuple(data.exclude)
            )
        return opened[split, kind]

    return rows


def _made(data: Data, path: Path, measure: Naming | Finding, rows: Rows) -> Task | None:
    pairs = rows(measure.split, measure.kind)
    if not len(pairs):
        return None
    if isinstance(measure, Naming):
        return _naming(data, measure, pairs, _classes(data, path, measure))
    found: Pictograms | Recaptioned = pairs
    if measure.keywords is not None:
        found = _unique(pairs, measure.keywords)
    if not len(found):
        return None
    of_source = concepts(pairs)
    clusters = tuple(of_source[row] for row in rows_of(found)[1])
    return RetrievalTask(measure.task, found, clusters)


def concepts(pairs: Pictograms) -> tuple[int, ...]:
    """What each picture shows, as a number: drawings of one name fall together."""
    numbers: dict[str, int] = {}
    return tuple(
        numbers.setdefault(name, len(numbers)) for name in pairs.values("name")
    )


def _classes(data: Data, path: Path, measure: Naming) -> tuple[str, ...]:
    """All that a column says of pictures of a kind, in whatever split."""
    column = measure.column
    rows = read_columns(path, data.source, (column, "kind")).to_pylist()
    names = {row[column] for row in rows if row["kind"] == measure.kind and row[column]}
    return tuple(sorted({_class_name(column, name) for name in names}))


def _naming(
    data: Data, measure: Naming, pairs: Pictograms, classes: tuple[str, ...]
) -> ZeroShotTask:
    numbers = {name: i for i, name in enumerate(classes)}
    names = (
        _class_name(measure.column, value) for value in pairs.values(measure.column)
    )
    labels = tuple(numbers[name] for name in names)
    templates = class_templates(data, measure.templates)
    return ZeroShotTask(
        measure.task, pairs, labels, classes, templates, concepts(pairs)
    )


def _probe(data: Data, kind: str, probing: Probing, rows: Rows) -> ProbeTask | None:
    train = rows(probing.train, probing.kind)
    tested = rows(probing.split, probing.kind)
    if not len(tested):
        return None
    labels = train.values(probing.column), tested.values(probing.column)
    return probe(data.source, kind, train, tested, labels, concepts(tested))


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
