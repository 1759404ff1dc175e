"""The same features give the figures of clip_benchmark, which many papers used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyclip.data.task import MultiLabelTask, RetrievalTask, ZeroShotTask
from tinyclip.evaluation.suite import evaluate

pytest.importorskip("clip_benchmark")
from clip_benchmark.metrics import (  # noqa: E402
    zeroshot_classification,
    zeroshot_retrieval,
)
from sklearn.metrics import top_k_accuracy_score  # noqa: E402

CLASSES = tuple("abcdefgh")
TEMPLATES = ("an {}", "{}")
VOCABULARY = [template.format(name) for template in TEMPLATES for name in CLASSES]


@pytest.fixture
def drawn(make_loaded, make_pairs):
    draw = np.random.default_rng(5)
    texts = draw.normal(size=(16, 6))
    texts[8:] = texts[:8] + 0.5 * draw.normal(size=(8, 6))
    labels = draw.integers(0, 8, 90)
    images = texts[labels] + 1.2 * draw.normal(size=(90, 6))
    loaded = make_loaded(images, texts, VOCABULARY)
    return loaded, make_pairs([("unused",)] * 90), labels


def logits_of(loaded, targets: torch.Tensor) -> torch.Tensor:
    """What clip_benchmark's classifier says of the pictures, (90, 8)."""
    pixels = torch.arange(90.0)[:, None, None, None].expand(90, 3, 1, 1)
    batches = [(pixels[i : i + 32], targets[i : i + 32]) for i in (0, 32, 64)]
    model = loaded.model.eval()
    classifier = zeroshot_classification.zero_shot_classifier(
        model, loaded.tokenizer, list(CLASSES), ["an {c}", "{c}"], "cpu", amp=False
    )
    return zeroshot_classification.run_classification(
        model, classifier, batches, "cpu", amp=False
    )[0]


def test_zero_shot_is_clip_benchmark_s(drawn) -> None:
    loaded, pairs, labels = drawn
    task = ZeroShotTask("t", pairs, tuple(labels.tolist()), CLASSES, TEMPLATES)
    ours = evaluate(loaded, [task])["t"]
    logits = logits_of(loaded, torch.tensor(labels)).numpy()
    # its own count of hits asks NumPy for what 2.4 no longer does
    for figure, k in ((ours["value"], 1), (ours["also"]["top5"], 5)):
        theirs = top_k_accuracy_score(labels, logits, k=k, labels=range(8))
        assert figure == pytest.approx(theirs)
    assert 0.2 < ours["value"] < 0.9  # else the test would say little
    assert ours["chance"] == 1 / 8


def test_mean_average_precision_is_clip_benchmark_s(drawn) -> None:
    loaded, pairs, labels = drawn
    more = np.random.default_rng(6).random((90, 8)) < 0.15
    more[np.arange(90), labels] = True
    sets = tuple(tuple(np.flatnonzero(row).tolist()) for row in more)
    ours = evaluate(loaded, [MultiLabelTask("t", pairs, sets, CLASSES, TEMPLATES)])["t"]
    targets = torch.tensor(more.astype(np.int64))
    theirs = zeroshot_classification.average_precision_per_class(
        logits_of(loaded, targets), targets
    ).mean()
    assert ours["metric"] == "mean_average_precision"
    assert ours["value"] == pytest.approx(float(theirs), abs=1e-6)
    assert ours["chance"] == pytest.approx(more.mean())
    low, high = ours["ci95"]
    assert ours["chance"] < low < ours["value"] < high < 1


def test_retrieval_is_clip_benchmark_s(make_loaded, make_pairs) -> None:
    draw = np.random.default_rng(7)
    own = [1 + i % 3 for i in range(40)]
    texts_of = [tuple(f"{i}.{j}" for j in range(n)) for i, n in enumerate(own)]
    vocabulary = [text for texts in texts_of for text in texts]
    images = draw.normal(size=(40, 6))
    texts = np.repeat(images, own, axis=0) + 1.2 * draw.normal(size=(sum(own), 6))
    loaded = make_loaded(images, texts, vocabulary)
    ours = evaluate(loaded, [RetrievalTask("r", make_pairs(texts_of))])["r"]
    pixels = torch.arange(40.0)[:, None, None, None].expand(40, 3, 1, 1)
    batches = [(pixels[i : i + 16], texts_of[i : i + 16]) for i in (0, 16, 32)]
    theirs = zeroshot_retrieval.evaluate(
        loaded.model.eval(),
        batches,
        loaded.tokenizer,
        "cpu",
        amp=False,
        recall_k_list=[1, 5, 10],
    )
    found = {**ours["also"], ours["metric"]: ours["value"]}
    for k in (1, 5, 10):
        text, image = f"text_retrieval_recall@{k}", f"image_retrieval_recall@{k}"
        assert found[f"image_to_text_r{k}"] == pytest.approx(theirs[text])
        assert found[f"text_to_image_r{k}"] == pytest.approx(theirs[image])
    assert 0.1 < ours["value"] < 0.9
    share = np.mean([n / sum(own) for n in own])
    assert ours["chance"] == pytest.approx(share)
