"""Objectives against NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tinyclip.errors import UserError
from tinyclip.losses import affinity, contrastive, feature, weighted
from tinyclip.model.clip import Features

Matrix = NDArray[np.float64]


def make_features(seed: int, scale: float = 12.0, width: int = 6) -> Features:
    generator = torch.Generator().manual_seed(seed)
    image, text = (
        F.normalize(
            torch.randn(5, width, generator=generator, dtype=torch.float64), dim=-1
        )
        for _ in range(2)
    )
    return Features(image, text, torch.tensor(scale, dtype=torch.float64))


def log_softmax(logits: Matrix) -> Matrix:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Matrix = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def logits_of(features: Features) -> Matrix:
    product: Matrix = float(features.scale) * (
        features.image_BE.numpy() @ features.text_BE.numpy().T
    )
    return product


def test_affinity_is_the_mean_cross_entropy_of_both_directions() -> None:
    student, teacher = make_features(0), make_features(1, scale=30.0)
    mine, theirs = logits_of(student), logits_of(teacher)
    expected = 0.0
    for s, t in ((mine, theirs), (mine.T, theirs.T)):
        expected -= (np.exp(log_softmax(t)) * log_softmax(s)).sum(1).mean() / 2
    assert float(affinity(student, teacher)[0]) == pytest.approx(expected, abs=1e-12)


def test_the_logged_kl_is_zero_for_the_teacher_itself() -> None:
    teacher = make_features(1)
    loss, parts = affinity(teacher, teacher)
    assert abs(float(parts["affinity_kl"])) < 1e-12
    assert float(loss) > 0.01


def test_the_logged_kl_is_the_divergence_from_the_teacher() -> None:
    student, teacher = make_features(0), make_features(1)
    mine, theirs = logits_of(student), logits_of(teacher)
    expected = 0.0
    for s, t in ((mine, theirs), (mine.T, theirs.T)):
        log_s, log_t = log_softmax(s), log_softmax(t)
        expected += (np.exp(log_t) * (log_t - log_s)).sum(1).mean() / 2
    kl = float(affinity(student, teacher)[1]["affinity_kl"])
    assert kl == pytest.approx(expected, abs=1e-12)


def test_contrastive_is_clips_own_loss() -> None:
    features = make_features(2)
    logits = logits_of(features)
    rows = -np.diag(log_softmax(logits)).mean()
    columns = -np.diag(log_softmax(logits.T)).mean()
    assert float(contrastive(features)) == pytest.approx((rows + columns) / 2)


def test_feature_is_two_less_two_cosines_a_modality() -> None:
    student, teacher = make_features(0), make_features(1)
    expected = sum(
        (2 - 2 * (s * t).sum(-1)).mean().item()
        for s, t in (
            (student.image_BE, teacher.image_BE),
            (student.text_BE, teacher.text_BE),
        )
    )
    assert float(feature(student, teacher)[0]) == pytest.approx(expected, abs=1e-12)


def test_feature_refuses_other_widths() -> None:
    with pytest.raises(UserError, match="embeds in 4 dimensions"):
        feature(make_features(0, width=4), make_features(1, width=6))


def test_the_total_is_the_weighted_sum_and_parts_are_unweighted() -> None:
    student, teacher = make_features(0), make_features(1)
    total, parts = weighted({"affinity": 2.0, "feature": 0.5}, student, teacher)
    expected = 2 * parts["affinity"] + 0.5 * parts["feature"]
    torch.testing.assert_close(total, expected.to(total))
    assert {"affinity", "affinity_kl", "feature", "feature.image"} <= set(parts)


def test_an_objective_of_weight_0_is_not_computed() -> None:
    student, teacher = make_features(0, width=4), make_features(1, width=6)
    _, parts = weighted({"contrastive": 1.0, "feature": 0.0}, student, teacher)
    assert set(parts) == {"contrastive"}


def test_an_unknown_objective_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'affinity'"):
        weighted({"afinity": 1.0}, make_features(0), make_features(1))
