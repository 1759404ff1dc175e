"""Retrieval figures against a plain float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyclip.data.tasks import RetrievalTask
from tinyclip.evaluation.retrieval import retrieval_ranks
from tinyclip.evaluation.suite import evaluate


def reference(images: np.ndarray, texts: np.ndarray, owner: list[int]):
    """Ranks of the best own caption and of the own picture, by sorting."""
    similar = np.stack([image / np.linalg.norm(image) for image in images]) @ (
        np.stack([text / np.linalg.norm(text) for text in texts]).T
    )
    by_image = []
    for i, row in enumerate(similar):
        order = [owner[j] for j in np.argsort(-row)]
        by_image.append(order.index(i))
    by_text = [
        list(np.argsort(-column)).index(owner[j]) for j, column in enumerate(similar.T)
    ]
    return np.array(by_image), np.array(by_text)


def test_recalls_are_the_reference_s_with_several_captions_each(
    make_loaded, make_pairs
) -> None:
    draw = np.random.default_rng(1)
    texts_of = [tuple(f"{i}.{k}" for k in range(1 + i % 3)) for i in range(40)]
    vocabulary = [text for texts in texts_of for text in texts]
    owner = [int(text.split(".")[0]) for text in vocabulary]
    images = draw.normal(size=(40, 6))
    texts = images[owner] + 1.5 * draw.normal(size=(len(owner), 6))
    loaded = make_loaded(images, texts, vocabulary)
    result = evaluate(loaded, [RetrievalTask("r", make_pairs(texts_of))])["r"]
    by_image, by_text = reference(images, texts, owner)
    assert result["metric"] == "image_to_text_r1"
    assert result["value"] == pytest.approx((by_image < 1).mean())
    assert result["also"]["image_to_text_r5"] == pytest.approx((by_image < 5).mean())
    assert result["also"]["text_to_image_r1"] == pytest.approx((by_text < 1).mean())
    assert result["also"]["text_to_image_r5"] == pytest.approx((by_text < 5).mean())
    assert (result["n"], result["also"]["captions"]) == (40, len(owner))
    assert 0.1 < result["value"] < 0.9  # else the test would say little


def test_captions_follow_their_pictures_when_some_are_broken(
    make_loaded, make_pairs
) -> None:
    features = np.eye(4)
    pairs = make_pairs([(t,) for t in "abcd"], frozenset({1}))
    loaded = make_loaded(features, features, list("abcd"))
    result = evaluate(loaded, [RetrievalTask("r", pairs)])["r"]
    assert (result["value"], result["n"]) == (1.0, 3)
    assert result["also"]["broken"] == 1


def test_ties_count_against_the_model() -> None:
    ones = torch.ones(4, 3)
    by_image, by_text = retrieval_ranks(ones, ones, torch.arange(4))
    assert by_image.tolist() == by_text.tolist() == [3, 3, 3, 3]


def test_a_tie_with_another_own_caption_is_no_tie() -> None:
    images = torch.eye(2)
    texts = torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0]])
    by_image, _ = retrieval_ranks(images, texts, torch.tensor([0, 0, 1]))
    assert by_image.tolist() == [0, 0]


def test_features_that_are_no_numbers_find_nothing() -> None:
    nothing = torch.full((3, 2), float("nan"))
    by_image, by_text = retrieval_ranks(nothing, torch.ones(3, 2), torch.arange(3))
    assert by_image.tolist() == by_text.tolist() == [2, 2, 2]
