"""The kinds of task: what a model is asked, and what the answer should be.

How each is measured is a file in `evaluation/`, registered under the kind's name.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        kind: how it is learned: one of `FEW_SHOTS`.
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


Task = ZeroShotTask | MultiLabelTask | RetrievalTask | ProbeTask | FewShotTask
PROBES = ("linear_probe", "knn")
FEW_SHOTS = ("adapter_image", "adapter_text", "adapter", "coop")
