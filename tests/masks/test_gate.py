"""The hard-concrete gate against its closed forms, in NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyclip.masks import gate

DRAWS = 40_000


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def draws(alpha: float) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    alpha_U = torch.full((DRAWS,), alpha)
    u_U = gate.draw_noise(DRAWS, generator, alpha_U)
    return gate.sample(alpha_U, u_U).double().numpy()


@pytest.mark.parametrize("alpha", [-4.6, -2.0, 0.0, 1.5, 4.6])
def test_samples_open_as_often_as_the_closed_form_says(alpha: float) -> None:
    # T ln(-a/b) with a = -0.1, b = 1.1, T = 2/3
    expected = sigmoid(np.float64(alpha) - 2 / 3 * np.log(0.1 / 1.1))
    share = (draws(alpha) > 0).mean()
    assert share == pytest.approx(expected, abs=4 * 0.5 / DRAWS**0.5)
    stated = gate.open_probability(torch.tensor(alpha, dtype=torch.float64))
    assert float(stated) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("alpha", [-4.6, 0.0, 2.0])
def test_samples_are_fully_open_as_often_as_the_closed_form_says(alpha: float) -> None:
    # z = 1 where the stretched sigmoid is past (1 - a) / (b - a) = 11/12
    expected = sigmoid(np.float64(alpha) - 2 / 3 * np.log(11.0))
    assert (draws(alpha) == 1).mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("alpha", [-2.0, 0.0, 2.0])
def test_samples_have_the_mean_of_the_integral(alpha: float) -> None:
    u = (np.arange(200_000) + 0.5) / 200_000
    s = sigmoid((np.log(u / (1 - u)) + alpha) / (2 / 3))
    expected = np.clip(s * 1.2 - 0.1, 0, 1).mean()
    assert draws(alpha).mean() == pytest.approx(expected, abs=0.01)


def test_a_hardened_gate_is_the_noiseless_one_and_never_under_a_twentieth() -> None:
    alpha = np.linspace(-4.6, 4.6, 47)
    expected = np.maximum(np.clip(sigmoid(alpha * 1.5) * 1.2 - 0.1, 0, 1), 0.05)
    stated = gate.hardened(torch.from_numpy(alpha)).numpy()
    np.testing.assert_allclose(stated, expected, atol=1e-12)
    assert stated.min() == 0.05
    assert stated.max() == 1.0


@pytest.mark.parametrize("openness", [0.05, 0.3, 0.5, 0.95, 0.99])
def test_the_logit_of_an_openness_gives_it_back(openness: float) -> None:
    alpha = torch.tensor(gate.alpha_of(openness), dtype=torch.float64)
    assert float(gate.open_probability(alpha)) == pytest.approx(openness)


@pytest.mark.parametrize("openness", [0.0, 1.0])
def test_the_logit_of_an_extreme_openness_stays_in_the_clamped_range(
    openness: float,
) -> None:
    assert abs(gate.alpha_of(openness)) == pytest.approx(np.log(100))
