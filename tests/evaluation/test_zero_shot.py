"""Zero-shot figures against a plain float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyclip.data.tasks import ZeroShotTask
from tinyclip.evaluation import zero_shot as room
from tinyclip.evaluation.suite import evaluate

CLASSES = tuple("abcdefgh")
TEMPLATES = ("an {}", "{}")
VOCABULARY = [template.format(name) for template in TEMPLATES for name in CLASSES]


def reference_ranks(images: np.ndarray, texts: np.ndarray, labels) -> np.ndarray:
    """Ranks from definition, one picture at a time, in float64."""
    unit = texts / np.linalg.norm(texts, axis=-1, keepdims=True)
    classes = unit.reshape(len(TEMPLATES), len(CLASSES), -1).mean(axis=0)
    classes /= np.linalg.norm(classes, axis=-1, keepdims=True)
    ranks = []
    for image, label in zip(images.astype(np.float64), labels, strict=True):
        similar = classes @ (image / np.linalg.norm(image))
        ranks.append(sum(similar[c] > similar[label] for c in range(len(CLASSES))))
    return np.array(ranks)


@pytest.fixture
def drawn(make_loaded, make_pairs):
    """Random features, and a task on them."""
    draw = np.random.default_rng(0)
    images = draw.normal(size=(60, 5)) * draw.uniform(0.1, 9, size=(60, 1))
    texts = draw.normal(size=(16, 5)) * draw.uniform(0.1, 9, size=(16, 1))
    labels = tuple(int(i) for i in draw.integers(0, 8, 60))
    pairs = make_pairs([("unused",)] * 60)
    task = ZeroShotTask("t", pairs, labels, CLASSES, TEMPLATES)
    return make_loaded(images, texts, VOCABULARY), task, images, texts


def test_top1_and_top5_are_the_reference_s(drawn) -> None:
    loaded, task, images, texts = drawn
    ranks = reference_ranks(images, texts, task.labels)
    result = evaluate(loaded, [task])["t"]
    assert result["metric"] == "top1"
    assert result["value"] == pytest.approx((ranks < 1).mean())
    assert result["also"]["top5"] == pytest.approx((ranks < 5).mean())
    assert result["n"] == 60


def test_chunks_of_pictures_change_no_rank(drawn, monkeypatch) -> None:
    loaded, task, images, texts = drawn
    monkeypatch.setattr(room, "ROWS", 7)
    ranks = reference_ranks(images, texts, task.labels)
    assert evaluate(loaded, [task])["t"]["value"] == pytest.approx((ranks < 1).mean())


def test_the_size_of_a_batch_changes_nothing(drawn) -> None:
    loaded, task, *_ = drawn
    assert evaluate(loaded, [task], batch=7) == evaluate(loaded, [task], batch=60)


def test_ties_count_against_the_model() -> None:
    """A collapsed model names every class alike, and is right about none."""
    same = torch.ones(4, 3)
    assert room.ranks(same, torch.ones(5, 3), torch.arange(4)).tolist() == [4] * 4


def test_features_that_are_no_numbers_are_never_right() -> None:
    images = torch.tensor([[float("nan")], [1.0]])
    classes = torch.tensor([[1.0], [0.5]])
    assert room.ranks(images, classes, torch.tensor([0, 0])).tolist() == [1, 0]


def test_broken_pictures_are_left_out_and_counted(
    drawn, make_pairs, make_loaded
) -> None:
    loaded, task, images, texts = drawn
    pairs = make_pairs(task.pairs.texts, frozenset({0, 30, 59}))
    damaged = ZeroShotTask("t", pairs, task.labels, CLASSES, TEMPLATES)
    whole = [i for i in range(60) if i not in pairs.broken]
    ranks = reference_ranks(images[whole], texts, [task.labels[i] for i in whole])
    result = evaluate(loaded, [damaged])["t"]
    assert (result["n"], result["also"]["broken"]) == (57, 3)
    assert result["value"] == pytest.approx((ranks < 1).mean())
