"""One objective under several teachers.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tinyclip.losses import weighted
from tinyclip.model.clip import Features

SCALES = (20.0, 3.0, 7.0)


def features(seed: int, width: int = 5) -> Features:
    generator = torch.Generator().manual_seed(seed)
    image_BE, text_BE = (
        F.normalize(torch.randn(6, width, generator=generator).double(), dim=-1)
        for _ in range(2)
    )
    return Features(image_BE, text_BE, torch.tensor(SCALES[seed % 3]).double())


def leaf(student: Features) -> Features:
    image_BE = student.image_BE.clone().requires_grad_()
    return replace(student, image_BE=image_BE, text_BE=student.text_BE.clone())


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def mean_after_softmax(student: Features, teachers: list[Features]) -> float:
    """Affinity from the teachers' mean distribution, in both directions."""
    value = 0.0
    for turn in (lambda z: z, np.transpose):
        logits = [
            turn(float(one.scale) * one.image_BE.numpy() @ one.text_BE.numpy().T)
            for one in (student, *teachers)
        ]
        wanted = np.mean([softmax(z) for z in logits[1:]], axis=0)
        value -= (wanted * np.log(softmax(logits[0]))).sum(-1).mean() / 2
    return float(value)


def test_affinity_takes_the_teachers_mean_after_the_softmax() -> None:
    student = features(0)
    teachers = [features(seed, width) for seed, width in ((1, 5), (2, 9), (4, 3))]
    loss, _ = weighted({"affinity": 1.0}, student, tuple(teachers))
    expected = mean_after_softmax(student, teachers)
    assert float(loss) == pytest.approx(expected, abs=1e-12)


def test_crd_pulls_as_the_teachers_mean_distribution_does() -> None:
    """The value holds how far the teachers are apart; what moves it is the mean."""
    teachers = [features(1), features(2)]
    students = [replace(features(0), scale=torch.tensor(s).double()) for s in (5.0, 9)]
    values = [float(weighted({"crd": 1.0}, s, tuple(teachers))[0]) for s in students]
    means = [2 * mean_after_softmax(student, teachers) for student in students]
    assert values[0] - values[1] == pytest.approx(means[0] - means[1], abs=1e-12)
    assert values[0] < means[0]


def test_what_is_logged_is_the_mean_too() -> None:
    student, teachers = features(0), (features(1), features(2))
    _, parts = weighted({"feature": 2.0}, student, teachers)
    alone = [weighted({"feature": 2.0}, student, one)[1] for one in teachers]
    for name in ("feature", "feature.image", "feature.text"):
        mean = (alone[0][name] + alone[1][name]) / 2
        assert float(parts[name]) == pytest.approx(float(mean), abs=1e-12)


def test_one_teacher_is_as_it_was_to_the_bit() -> None:
    student, teacher = features(0), features(1)
    for name in ("affinity", "feature", "dist"):
        alone = weighted({name: 1.0}, student, teacher)[0]
        assert torch.equal(weighted({name: 1.0}, student, (teacher,))[0], alone)


def test_the_gradient_is_the_finite_difference() -> None:
    student, teachers = leaf(features(0)), (features(1), features(2))
    asked = {"mimic": 1.0, "feature": 0.5, "dist": 0.5}
    weighted(asked, student, teachers)[0].backward()
    gradient_BE = student.image_BE.grad
    assert gradient_BE is not None
    for place in ((0, 0), (3, 2), (5, 4)):
        values = []
        for change in (1e-6, -1e-6):
            image_BE = student.image_BE.detach().clone()
            image_BE[place] += change
            moved = replace(student, image_BE=image_BE)
            values.append(float(weighted(asked, moved, teachers)[0]))
        slope = (values[0] - values[1]) / 2e-6
        assert float(gradient_BE[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)
