"""Average precision where pictures are equally near, or draws leave a class out."""

from __future__ import annotations

import numpy as np
import pytest

from tinyclip.evaluation.multi_label import MeanAveragePrecision

metrics = pytest.importorskip("sklearn.metrics")


def figure(scores, labels) -> MeanAveragePrecision:
    scores, labels = np.array(scores, float), np.array(labels, bool)
    return MeanAveragePrecision(scores, labels, np.arange(len(scores)), len(scores))


def test_of_equally_near_pictures_those_of_other_classes_come_first() -> None:
    assert figure([[1], [1], [1]], [[1], [0], [0]]).value == pytest.approx(1 / 3)


def test_what_is_no_number_is_found_last() -> None:
    nan = float("nan")
    assert figure([[nan], [0], [nan]], [[1], [0], [0]]).value == pytest.approx(1 / 3)


def test_drawn_pictures_count_as_often_as_they_are_drawn() -> None:
    """As scikit-learn weighs them."""
    draw = np.random.default_rng(0)
    scores, labels = draw.normal(size=(50, 3)), draw.random((50, 3)) < 0.3
    times = draw.integers(0, 4, (2, 50)).astype(float)
    ours = figure(scores, labels).drawn(times)
    for drawn, row in zip(ours, times, strict=True):
        # a picture drawn twice is two pictures, of which the first has no other before
        repeated = np.repeat(np.arange(50), row.astype(int))
        wanted = metrics.average_precision_score(labels[repeated], scores[repeated])
        assert drawn == pytest.approx(wanted)


def test_a_class_that_no_drawn_picture_shows_says_nothing() -> None:
    whole = figure([[2, 0], [1, 0], [0, 1]], [[1, 0], [0, 1], [1, 0]])
    only = whole.drawn(np.array([[1.0, 0.0, 1.0]]))[0]
    assert only == pytest.approx(1.0)  # of the first class both pictures are left
