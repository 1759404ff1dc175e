"""What an embedded set is measured on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from ..config.schema import Data
from ..errors import UserError
from .caption_probes import Told, caption_offers
from .cutouts import CutOuts, cut_outs
from .embedded import (
    EMOJI_TEMPLATES,
    Composing,
    EmbeddedFile,
    Finding,
    Naming,
    Probing,
    Wording,
)
from .few_shots import WHERE, asked_shots, few_shots
from .pictograms import Pictograms, read_columns
from .pictures import parse_background
from .probes import probe
from .protocol import Pairs
from .scene_probes import scene_offers
from .task import (
    ADAPTATIONS,
    FEW_SHOTS,
    PROBES,
    USUAL,
    WEAKNESSES,
    Clusters,
    FewShotTask,
    ProbeTask,
    RetrievalTask,
    Task,
    ZeroShotTask,
)
from .templates import class_templates
from .views import Recaptioned, Subset, rows_of

Rows = Callable[[str, str], Pictograms]  # of a split and a kind


def embedded_offers(
    data: Data, embedded: EmbeddedFile
) -> Iterator[tuple[str, Callable[[], Task | None], str]]:
    """Name, maker and group of each task; one without rows is None."""
    rows = _opened(data, embedded.path)
    for measure in embedded.about.measures:
        yield measure.task, partial(_made, data, embedded, measure, rows), USUAL
    if (probing := embedded.about.probing) is not None:
        for kind in PROBES:
            make = partial(_probe, data, embedded, kind, probing, rows)
            yield kind, make, ""
        for kind in ADAPTATIONS:
            few = partial(_few_shots, data, embedded, kind, probing, rows)
            yield kind, few, FEW_SHOTS
    if (wording := embedded.about.wording) is not None:
        told = cache(partial(_told, embedded, wording, rows))
        for name, probe in caption_offers(told):
            yield name, probe, WEAKNESSES
    if (composing := embedded.about.composing) is not None:
        cuts = cache(partial(_cut_outs, composing, rows))
        templates = partial(class_templates, data, composing.templates)
        for name, made in scene_offers(cuts, templates):
            yield name, made, WEAKNESSES


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


def _made(
    data: Data, embedded: EmbeddedFile, measure: Naming | Finding, rows: Rows
) -> Task | None:
    pairs = rows(measure.split, measure.kind)
    if not len(pairs):
        return None
    if isinstance(measure, Naming):
        classes = _classes(data, embedded.path, measure)
        named = _naming(data, measure, pairs, classes)
        return replace(named, clusters=_clusters(embedded, pairs))
    found: Pictograms | Recaptioned = pairs
    if measure.keywords is not None:
        found = _unique(pairs, measure.keywords)
    if not len(found):
        return None
    return RetrievalTask(measure.task, found, _clusters(embedded, found))


def _clusters(embedded: EmbeddedFile, found: Pairs) -> Clusters:
    """What each picture shows, as a number: drawings of one concept fall together."""
    column = embedded.about.concept
    pairs, rows = rows_of(found)
    if column is None or not isinstance(pairs, Pictograms):
        return None
    values, numbers = pairs.values(column), dict[str, int]()
    return tuple(numbers.setdefault(values[row], len(numbers)) for row in rows)


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
    return ZeroShotTask(measure.task, pairs, labels, classes, templates)


def _probe(
    data: Data, embedded: EmbeddedFile, kind: str, probing: Probing, rows: Rows
) -> ProbeTask | None:
    train = rows(probing.train, probing.kind)
    tested = rows(probing.split, probing.kind)
    if not len(tested):
        return None
    labels = train.values(probing.column), tested.values(probing.column)
    clusters = _clusters(embedded, tested)
    return probe(data.source, kind, train, tested, labels, clusters)


def _few_shots(
    data: Data, embedded: EmbeddedFile, kind: str, probing: Probing, rows: Rows
) -> FewShotTask | None:
    """As `_probe`, over the classes that have as many pictures as shots."""
    train = rows(probing.train, probing.kind)
    tested = rows(probing.split, probing.kind)
    if not len(tested):
        return None
    column, most = probing.column, asked_shots(data)[-1]
    counts = Counter(train.values(column))
    enough = {name for name, count in counts.items() if count >= most}
    shown, names = _of_classes(train, column, enough)
    asked, asked_names = _of_classes(tested, column, enough)
    if len(enough) < 2 or not len(asked):
        raise UserError(
            data.source,
            f"{len(enough)} classes have {most} pictures to learn from",
            f"Show fewer: --set {WHERE}=[1]",
        )
    clusters = _clusters(embedded, asked)
    task = probe(data.source, kind, shown, asked, (names, asked_names), clusters)
    templates = class_templates(data, EMOJI_TEMPLATES)
    return few_shots(data, task, templates, len(counts) - len(enough))


def _of_classes(
    pairs: Pictograms, column: str, classes: set[str]
) -> tuple[Subset, list[str]]:
    """The pictures of these classes, and the class of each as one would say it."""
    values = pairs.values(column)
    rows = [row for row, value in enumerate(values) if value in classes]
    return Subset(pairs, rows), [_class_name(column, values[row]) for row in rows]


def _told(embedded: EmbeddedFile, wording: Wording, rows: Rows) -> Told | None:
    """Pictures of a split, each under what a column says of it."""
    pairs = rows(wording.split, wording.kind)
    if not len(pairs):
        return None
    texts = [str(text).lower() for text in pairs.values(wording.column)]
    return Told(pairs, texts, texts, _clusters(embedded, pairs))


def _cut_outs(composing: Composing, rows: Rows) -> CutOuts | None:
    """The things that scenes are composed of."""
    pairs = rows(composing.split, composing.kind)
    if not len(pairs):
        return None
    return cut_outs(pairs, pairs.values(composing.column), composing.things)


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
