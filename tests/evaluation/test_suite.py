"""The keys of the contract, and retention."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tinyclip.data.tasks import RetrievalTask, ZeroShotTask
from tinyclip.evaluation.suite import evaluate, values_of


@pytest.fixture
def half_right(make_loaded, make_pairs):
    """Two of four pictures lie at their own text."""
    images = np.eye(4)[[0, 1, 3, 2]]
    loaded = make_loaded(images, np.eye(4), list("abcd"))
    pairs = make_pairs([(text,) for text in "abcd"])
    tasks = [
        ZeroShotTask("zero", pairs, (0, 1, 2, 3), tuple("abcd"), ("{}",)),
        RetrievalTask("found", pairs),
    ]
    return loaded, tasks


def test_each_task_has_the_keys_of_the_contract(half_right) -> None:
    results = evaluate(*half_right)
    assert list(results) == ["zero", "found"]
    for result in results.values():
        keys = {"metric", "value", "ci95", "n", "teacher", "retention", "also"}
        assert set(result) >= keys
        low, high = result["ci95"]
        assert low < result["value"] == 0.5 < high
    assert json.loads(json.dumps(results)) == results


def test_retention_is_the_value_by_the_teacher_s(half_right) -> None:
    results = evaluate(*half_right, {"zero": 0.8, "other": 1.0})
    assert results["zero"]["teacher"] == 0.8
    assert results["zero"]["retention"] == pytest.approx(0.625)
    assert results["found"]["teacher"] is None
    assert results["found"]["retention"] is None


def test_a_teacher_that_knows_nothing_gives_no_retention(half_right) -> None:
    result = evaluate(*half_right, {"zero": 0.0})["zero"]
    assert (result["teacher"], result["retention"]) == (0.0, None)


def test_a_model_retains_all_of_itself(half_right) -> None:
    own = values_of(evaluate(*half_right))
    results = evaluate(*half_right, own)
    assert {result["retention"] for result in results.values()} == {1.0}


def test_pictures_that_two_tasks_share_are_encoded_once(half_right) -> None:
    loaded, tasks = half_right
    evaluate(loaded, tasks)
    assert loaded.model.batches == [4, 4]  # pictures, and texts that both use


def test_a_real_clip_is_measured(pico_clip, make_pairs) -> None:
    loaded = SimpleNamespace(
        model=pico_clip,
        preprocess=lambda image: torch.full((3, 16, 16), image.getpixel((0, 0))[0] / 9),
        tokenizer=lambda texts: torch.tensor(
            [[1, *text.encode(), 49][:8] + [0] * (6 - len(text)) for text in texts]
        ).clamp(max=49),
    )
    pairs = make_pairs([(f"{i}",) for i in range(9)])
    result = evaluate(loaded, [RetrievalTask("r", pairs)], batch=4)["r"]
    assert result["n"] == 9
    assert 0 <= result["value"] <= 1
