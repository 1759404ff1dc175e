"""Two things in a picture and in a caption, against a plain reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tinyclip.data.task import TwoObjectsTask
from tinyclip.evaluation.suite import evaluate
from tinyclip.model.figures import is_probe

CLASSES = ("ant", "bee", "cow", "dog", "elk")
COUPLES = ((0, 1), (2, 0), (3, 1))
OTHERS = ((2, 4), (1, 3), (0, 4))
TEXTS = tuple(
    (f"{CLASSES[a]} and {CLASSES[b]}", f"{CLASSES[b]} and {CLASSES[a]}")
    for a, b in COUPLES
)
VOCABULARY = [*CLASSES, *(text for own in TEXTS for text in own)]
SCENES = tuple((couple, larger) for couple in range(3) for larger in (True, False) * 2)


def task_of(make_pairs, broken=frozenset()) -> TwoObjectsTask:
    """Scenes are pictures 0 to 11, drawings pictures 0 to 4 of another source."""
    scenes = make_pairs([("unused",)] * len(SCENES), broken)
    drawings = make_pairs([("unused",)] * len(CLASSES))
    return TwoObjectsTask(
        "t", scenes, SCENES, COUPLES, OTHERS, TEXTS, drawings, CLASSES, ("{}",)
    )


def similar(ones, others) -> np.ndarray:
    """Cosines in float64."""
    ones, others = (
        each / np.linalg.norm(each, axis=1, keepdims=True)
        for each in (np.asarray(ones, float), np.asarray(others, float))
    )
    return ones @ others.T


def reference(images, texts) -> dict[str, float]:
    """From definition, an item at a time."""
    names = similar(images, texts[: len(CLASSES)])
    drawn = similar(texts[len(CLASSES) :], images[: len(CLASSES)])
    seen, read = [], []
    for row, (couple, first_is_larger) in enumerate(SCENES):
        pair = COUPLES[couple] if first_is_larger else COUPLES[couple][::-1]
        large, small = (names[row, c] for c in pair)
        best = max(names[row, c] for c in OTHERS[couple])
        seen.append((large > best, small > best, large > small))
    for couple, pair in enumerate(COUPLES):
        for turned in (0, 1):
            one, two = (drawn[2 * couple + turned, c] for c in pair[:: 1 - 2 * turned])
            best = max(drawn[2 * couple + turned, c] for c in OTHERS[couple])
            read.append((one > best and two > best, one > two))
    larger, smaller, preferred = np.array(seen).T
    both, first = np.array(read).T
    return {
        "both_found": (larger & smaller).mean(),
        "larger_found": larger.mean(),
        "smaller_found": smaller.mean(),
        "larger_preferred": preferred.mean(),
        "both_drawings_found": both.mean(),
        "first_named_preferred": first.mean(),
    }


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_the_reference_s(seed: int, make_pairs, make_loaded) -> None:
    draw = np.random.default_rng(seed)
    images = draw.normal(size=(len(SCENES), 3)).astype(np.float32)
    texts = draw.normal(size=(len(VOCABULARY), 3)).astype(np.float32)
    found = evaluate(make_loaded(images, texts, VOCABULARY), [task_of(make_pairs)])["t"]
    expected = reference(images, texts)
    assert (found["metric"], found["n"], found["clusters"]) == ("both_found", 12, 3)
    assert found["value"] == pytest.approx(expected.pop("both_found"))
    assert {name: found["also"][name] for name in expected} == pytest.approx(expected)
    assert found["chance"] == found["floor"] == pytest.approx(1 / 6)
    assert found["intervals"].keys() == expected.keys()
    assert is_probe(found)  # and no figure of what the model is for


def seen_by(weights) -> np.ndarray:
    """Scenes as sums of what they show: the larger thing and the smaller one."""
    images = np.zeros((len(SCENES), len(CLASSES)), dtype=np.float32)
    for row, (couple, first_is_larger) in enumerate(SCENES):
        pair = COUPLES[couple] if first_is_larger else COUPLES[couple][::-1]
        images[row, list(pair)] = weights
    return images


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((2, 1), 1.0), ((1, 2), 0.0), ((1, 1), 0.5)],
)
def test_a_model_that_looks_at_the_larger_thing_more_prefers_it(
    weights, expected, make_pairs, make_loaded
) -> None:
    names = np.eye(len(CLASSES), dtype=np.float32)
    texts = np.concatenate([names, np.ones((6, len(CLASSES)), np.float32)])
    loaded = make_loaded(seen_by(weights), texts, VOCABULARY)
    found = evaluate(loaded, [task_of(make_pairs)])["t"]
    assert found["also"]["larger_preferred"] == expected
    assert found["value"] == 1


def test_a_liking_for_a_thing_is_no_preference_for_the_larger(
    make_pairs, make_loaded
) -> None:
    """Ants before all, whatever their size: both sizes are there, and it cancels."""
    images = seen_by((1, 1))
    names = np.diag([9, 3, 2, 1, 4]).astype(np.float32) + 1
    texts = np.concatenate([names, np.ones((6, len(CLASSES)), np.float32)])
    found = evaluate(make_loaded(images, texts, VOCABULARY), [task_of(make_pairs)])["t"]
    assert found["also"]["larger_preferred"] == 0.5


def test_what_says_the_same_of_all_or_no_number_finds_nothing(
    make_pairs, make_loaded
) -> None:
    for value in (1.0, float("nan")):
        same = np.full((len(VOCABULARY), 3), value, dtype=np.float32)
        images = np.full((len(SCENES), 3), value, dtype=np.float32)
        found = evaluate(make_loaded(images, same, VOCABULARY), [task_of(make_pairs)])
        also = found["t"]["also"]
        assert found["t"]["value"] == also["both_drawings_found"] == 0
        assert also["larger_preferred"] == also["first_named_preferred"] == 0.5


def test_broken_pictures_are_left_out_and_counted(make_pairs, make_loaded) -> None:
    draw = np.random.default_rng(1)
    images = draw.normal(size=(len(SCENES), 3)).astype(np.float32)
    texts = draw.normal(size=(len(VOCABULARY), 3)).astype(np.float32)
    loaded = make_loaded(images, texts, VOCABULARY)
    found = evaluate(loaded, [task_of(make_pairs, frozenset({0, 7}))])["t"]
    assert (found["n"], found["also"]["broken"]) == (10, 2)


def test_a_drawing_that_cannot_be_read_is_found_by_no_caption(
    make_pairs, make_loaded
) -> None:
    draw = np.random.default_rng(1)
    images = draw.normal(size=(len(SCENES), 3)).astype(np.float32)
    texts = draw.normal(size=(len(VOCABULARY), 3)).astype(np.float32)
    loaded = make_loaded(images, texts, VOCABULARY)
    gone = make_pairs([("unused",)] * len(CLASSES), frozenset({0, 1, 2}))
    task = replace(task_of(make_pairs), drawings=gone)
    assert evaluate(loaded, [task])["t"]["also"]["both_drawings_found"] == 0
