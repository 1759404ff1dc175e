"""Objectives against NumPy float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tinyclip.errors import UserError
from tinyclip.losses import (
    affinity,
    contrastive,
    feature,
    mimic,
    sigmoid,
    weighted,
)
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


@pytest.mark.parametrize("direction", ["image", "text"])
def test_affinity_in_one_direction_is_the_cross_entropy_of_those_rows(
    direction: str,
) -> None:
    student, teacher = make_features(0), make_features(1, scale=30.0)
    s, t = logits_of(student), logits_of(teacher)
    if direction == "text":
        s, t = s.T, t.T
    cross = -(np.exp(log_softmax(t)) * log_softmax(s)).sum(1).mean()
    entropy = -(np.exp(log_softmax(t)) * log_softmax(t)).sum(1).mean()
    asked = {"affinity": {"weight": 0.5, "direction": direction}}
    loss, parts = weighted(asked, student, teacher)
    assert float(loss) == pytest.approx(cross / 2, abs=1e-12)
    assert float(parts["affinity"]) == pytest.approx(cross, abs=1e-12)
    assert float(parts["affinity_kl"]) == pytest.approx(cross - entropy, abs=1e-12)


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


def make_sigmoid_features(
    seed: int, scale: float = 8.0, bias: float = -3.0
) -> Features:
    return replace(
        make_features(seed, scale), bias=torch.tensor(bias, dtype=torch.float64)
    )


def sigmoid_logits_of(features: Features) -> Matrix:
    assert features.bias is not None
    return logits_of(features) + float(features.bias)


def log_sigmoid(logits: Matrix) -> Matrix:
    result: Matrix = -np.logaddexp(0.0, -logits)
    return result


def test_sigmoid_is_binary_cross_entropy_with_the_teachers_labels() -> None:
    student, teacher = make_sigmoid_features(0), make_sigmoid_features(1, 20.0, -5.0)
    mine, label = (
        sigmoid_logits_of(student),
        1 / (1 + np.exp(-sigmoid_logits_of(teacher))),
    )
    each = label * log_sigmoid(mine) + (1 - label) * log_sigmoid(-mine)
    loss = float(sigmoid(student, teacher)[0])
    assert loss == pytest.approx(-each.sum(1).mean(), abs=1e-12)


def test_the_logged_sigmoid_divergence_is_zero_for_the_teacher_itself() -> None:
    teacher = make_sigmoid_features(1)
    assert abs(float(sigmoid(teacher, teacher)[1]["sigmoid_kl"])) < 1e-12
    assert float(sigmoid(make_sigmoid_features(0), teacher)[1]["sigmoid_kl"]) > 0.01


def test_mimic_is_affinity_for_a_softmax_teacher() -> None:
    student, teacher = make_features(0), make_features(1)
    loss, parts = mimic(student, teacher)
    assert float(loss) == float(affinity(student, teacher)[0])
    assert float(parts["mimic_kl"]) == float(
        affinity(student, teacher)[1]["affinity_kl"]
    )


def test_mimic_is_sigmoid_for_a_teacher_with_a_logit_bias() -> None:
    student, teacher = make_sigmoid_features(0), make_sigmoid_features(1)
    assert float(mimic(student, teacher)[0]) == float(sigmoid(student, teacher)[0])


def test_contrastive_is_siglips_own_loss_under_a_logit_bias() -> None:
    features = make_sigmoid_features(2)
    logits = sigmoid_logits_of(features)
    sign = 2 * np.eye(len(logits)) - 1
    expected = -log_sigmoid(sign * logits).sum(1).mean()
    assert float(contrastive(features)) == pytest.approx(expected)


def test_a_narrower_student_is_compared_with_the_channels_that_it_kept() -> None:
    teacher, kept = make_features(1), [0, 2, 5]
    student = make_features(0, width=3)
    student = replace(student, channels_E=torch.tensor(kept))
    expected = 0.0
    for name in ("image_BE", "text_BE"):
        theirs = getattr(teacher, name).numpy()[:, kept]
        theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
        expected += ((getattr(student, name).numpy() - theirs) ** 2).sum(1).mean()
    assert float(feature(student, teacher)[0]) == pytest.approx(expected)
