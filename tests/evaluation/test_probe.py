"""Probes on features: what they learn, on what they choose, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyclip.data.task import ProbeTask
from tinyclip.errors import UserError
from tinyclip.evaluation import linear_probe as room
from tinyclip.evaluation.knn import neighbour_scores
from tinyclip.evaluation.suite import evaluate, refuse_unmeasurable

neighbors = pytest.importorskip("sklearn.neighbors")


def blobs(count: int, seed: int, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit features around a direction for each class."""
    centres = np.random.default_rng(0).normal(size=(classes, 8))
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = centres[labels] + 1.5 * draw.normal(size=(count, 8))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


def test_neighbours_vote_as_those_of_scikit_learn() -> None:
    train, labels = blobs(200, 1)
    images, _ = blobs(60, 2)
    theirs = neighbors.KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(train.double().numpy(), labels.numpy())
    wanted = theirs.predict_proba(images.double().numpy())
    ours = neighbour_scores(train, labels, images, 4)
    assert np.allclose(ours / ours.sum(dim=1, keepdim=True), wanted, atol=1e-5)


def test_few_pictures_are_all_neighbours() -> None:
    train, labels = blobs(8, 1)
    scores = neighbour_scores(train, labels, train, 4)
    assert torch.equal(scores.argmax(dim=1), labels)


def minimum(features: torch.Tensor, labels: torch.Tensor, rows: int) -> torch.Tensor:
    """Weights and biases at the minimum of Σ cross-entropy + |W|²/2, by L-BFGS in
    float64; of two classes one row, whose negative is the other's logit."""
    x, w = features.double(), torch.zeros(rows, 9, dtype=torch.float64)
    w.requires_grad_(True)
    solver = torch.optim.LBFGS(
        [w], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        logits = x @ w[:, :-1].T + w[:, -1]
        if rows == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        entropy = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        total = entropy + (w[:, :-1] ** 2).sum() / 2
        total.backward()
        return total

    solver.step(loss)
    return w.detach()


@pytest.mark.parametrize(("classes", "rows"), [(2, 1), (3, 3)])
def test_the_probe_is_at_the_minimum_of_its_loss(classes, rows, monkeypatch) -> None:
    train, labels = blobs(60, 1, classes)
    images, _ = blobs(30, 2, classes)
    monkeypatch.setattr(room, "STRENGTHS", (1.0,))
    ours = room.probe_scores(train, labels, images, classes)
    w = minimum(train, labels, rows)
    logits = images.double() @ w[:, :-1].T + w[:, -1]
    if rows == 1:
        assert torch.allclose(ours[:, 1:] - ours[:, :1], 2 * logits, atol=0.02)
        return
    centred = [each - each.mean(dim=1, keepdim=True) for each in (ours, logits)]
    assert torch.allclose(*centred, atol=0.02)


def test_the_strength_is_the_one_that_names_most_of_a_part() -> None:
    """Labels that are half noise: a strong C learns the noise."""
    train, labels = blobs(120, 1)
    noisy = np.where(np.arange(120) % 2, labels, (labels * 7 + 1) // 3 % 4)
    features, part = train.double().numpy(), room.choosers(noisy)
    right = []
    for strength in room.STRENGTHS:
        model = room.fitted(features[~part], noisy[~part], strength)
        right.append((model.predict(features[part]) == noisy[part]).sum())
    best = room.best_strength(features, noisy)
    assert right[room.STRENGTHS.index(best)] == max(right)
    assert len(set(right)) > 1  # else the test would say little


def test_a_fifth_of_each_class_chooses_and_of_small_classes_none() -> None:
    labels = np.array([0] * 10 + [1] * 4 + [2] * 5)
    assert [int(room.choosers(labels)[labels == i].sum()) for i in range(3)] == [
        2,
        0,
        1,
    ]


@pytest.fixture
def task(make_pairs):
    """Ten pictures to learn from, and four to name: features by row."""
    train, tested = make_pairs([("-",)] * 10), make_pairs([("-",)] * 4)
    return lambda kind: ProbeTask(
        kind, kind, train, (0, 1) * 5, tested, (0, 1, 0, 0), ("x", "y")
    )


@pytest.mark.parametrize("kind", ["knn", "linear_probe"])
def test_probes_name_by_pictures_alone(make_loaded, task, kind: str) -> None:
    loaded = make_loaded([[1.0, 0.0], [0.0, 1.0]] * 5, [[1.0, 0.0]], ["-"])
    result = evaluate(loaded, [task(kind)])[kind]
    # row 3 looks like y and is said to be x
    assert (result["metric"], result["value"], result["n"]) == ("top1", 0.75, 4)
    assert result["chance"] == 0.5
    assert result["also"]["learnt_from"] == 10


def test_a_class_of_which_no_picture_can_be_read_is_refused(
    make_loaded, make_pairs
) -> None:
    train = make_pairs([("-",)] * 4, frozenset({1, 3}))
    task = ProbeTask("knn", "knn", train, (0, 1) * 2, make_pairs([("-",)]), (1,), "xy")
    loaded = make_loaded([[1.0, 0.0]] * 4, [[1.0, 0.0]], ["-"])
    with pytest.raises(UserError, match="no picture to learn from can be read of 1"):
        evaluate(loaded, [task])


def test_a_probe_without_its_library_is_refused_before_anything(
    task, monkeypatch
) -> None:
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    refuse_unmeasurable([task("knn")])
    with pytest.raises(UserError, match=r"pip install 'tinyclip\[probe\]'"):
        refuse_unmeasurable([task("linear_probe")])
