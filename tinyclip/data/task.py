"""The kinds of task: what a model is asked, and what the answer should be.

How each is measured is a file in `evaluation/`, registered under the kind's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .protocol import Pairs

Clusters = tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class ZeroShotTask:
    """Name each picture among classes.

    Args:
        name: of the task.
        pairs: the pictures; their captions are not used.
        labels: the class of each picture, an index into `classes`.
        classes: distinct names.
        templates: sentences with ``{}`` for the name.
        clusters: what each picture shows, as a number, where several pictures show one
            thing; None: each is a thing of its own.
    """

    kind: ClassVar[str] = "zero_shot"
    name: str
    pairs: Pairs
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    clusters: Clusters = None


@dataclass(frozen=True, eq=False)
class MultiLabelTask:
    """Find the pictures of each class, where a picture shows several.

    Args:
        labels: the classes of each picture, indices into `classes`.
        classes, templates, clusters: as of `ZeroShotTask`.
    """

    kind: ClassVar[str] = "multi_label"
    name: str
    pairs: Pairs
    labels: tuple[tuple[int, ...], ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    clusters: Clusters = None


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Find each picture's captions among all captions, and the other way round."""

    kind: ClassVar[str] = "retrieval"
    name: str
    pairs: Pairs
    clusters: Clusters = None


@dataclass(frozen=True, eq=False)
class ProbeTask:
    """Name each picture, after labelled pictures were seen; no words are read.

    Args:
        kind: how it is learned: `linear_probe` or `knn`.
        train: the pictures to learn from, none of them in `pairs`.
        train_labels: their classes, indices into `classes`.
        pairs, labels, classes, clusters: as of `ZeroShotTask`.
    """

    kind: str
    name: str
    train: Pairs
    train_labels: tuple[int, ...]
    pairs: Pairs
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    clusters: Clusters = None


@dataclass(frozen=True, eq=False)
class FewShotTask:
    """Name each picture, after a few of each class were seen, by pictures and words.

    Args:
        kind: how it is learned: one of `ADAPTATIONS`.
        train: the pictures that are shown in any draw, none of them in `pairs`.
        train_labels: their classes, indices into `classes`.
        draws: of each draw rows of `train`: those of a class in the order in which they
            are shown, so that what few shots show is among what more show.
        shots: how many of each class are shown, ascending.
        left_out: classes that have fewer pictures.
        pairs, labels, classes, templates, clusters: as of `ZeroShotTask`.
    """

    kind: str
    name: str
    train: Pairs
    train_labels: tuple[int, ...]
    draws: tuple[tuple[int, ...], ...]
    shots: tuple[int, ...]
    pairs: Pairs
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    clusters: Clusters = None
    left_out: int = 0


@dataclass(frozen=True, eq=False)
class ChoiceTask:
    """Tell a picture's true text from false ones made of it.

    Args:
        pairs: the pictures; their captions are not used.
        rows: the picture of each item, a row of `pairs`.
        texts: of each item the true text first, then false ones, one or more.
        parts: what each item belongs to, a figure of its own; "" where all are of one
            kind.
        clusters: as of `ZeroShotTask`, of the rows of `pairs`; items of one picture
            belong together in any case.
        left_out: how many pictures a part could make no item of.
        controls: parts that are easier, to see whether a model can be asked at all:
            they have their own figures, and are not in the task's.
    """

    kind: ClassVar[str] = "choice"
    name: str
    pairs: Pairs
    rows: tuple[int, ...]
    texts: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...]
    clusters: Clusters = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    controls: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class TwoObjectsTask:
    """Find both of two things in a picture, and the pictures of both by a caption: is
    the larger thing preferred, and the one that is named first?

    Args:
        pairs: the pictures; their captions are not used.
        scenes: of each picture its couple, and whether the couple's first is the
            larger one.
        couples: pairs of classes, each of which is in scenes both ways.
        others: of each couple the classes that both are compared with, neither of
            them; of all couples equally many.
        texts: of each couple a caption that names the first one first, and one that
            names the second one first.
        drawings: a picture of each class by itself.
        classes, templates: as of `ZeroShotTask`.
    """

    kind: ClassVar[str] = "two_objects"
    name: str
    pairs: Pairs
    scenes: tuple[tuple[int, bool], ...]
    couples: tuple[tuple[int, int], ...]
    others: tuple[tuple[int, ...], ...]
    texts: tuple[tuple[str, str], ...]
    drawings: Pairs
    classes: tuple[str, ...]
    templates: tuple[str, ...]


Task = (
    ZeroShotTask
    | MultiLabelTask
    | RetrievalTask
    | ProbeTask
    | ChoiceTask
    | TwoObjectsTask
    | FewShotTask
)
PROBES = ("linear_probe", "knn")
ADAPTATIONS = ("adapter_image", "adapter_text", "adapter", "coop")
USUAL, WEAKNESSES, FEW_SHOTS = "usual", "probes", "few_shots"
GROUPS = {  # a word that stands for tasks, and for which
    USUAL: "what is measured where nobody names tasks",
    WEAKNESSES: "what CLIP is known to be weak in",
    FEW_SHOTS: "what is learnt from a few pictures of each class",
}
