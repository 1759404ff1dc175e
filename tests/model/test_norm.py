"""The norm of a rotated tower, against NumPy float64."""

from __future__ import annotations

import numpy as np
import torch

from tinyclip.model.norm import RmsNorm

EPS = 1e-5


def test_the_mean_of_squares_counts_the_full_width() -> None:
    draw = np.random.default_rng(0)
    x, weight = draw.normal(size=(5, 7)), draw.normal(size=7)
    norm = RmsNorm(7, EPS, full_width=24).double()
    norm.weight.data = torch.from_numpy(weight)
    expected = x / np.sqrt((x**2).sum(1, keepdims=True) / 24 + EPS) * weight
    np.testing.assert_allclose(
        norm(torch.from_numpy(x), None).detach().numpy(), expected, rtol=1e-12
    )


def test_a_direction_that_is_nought_leaves_the_others_as_they_are() -> None:
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    x[:, 4:] = 0
    whole, cut = RmsNorm(7, EPS, 24), RmsNorm(4, EPS, 24)
    torch.testing.assert_close(whole(x, None)[:, :4], cut(x[:, :4], None))


def test_half_a_model_stays_half() -> None:
    norm = RmsNorm(7, EPS, 24).to(torch.bfloat16)
    assert norm(torch.ones(2, 7, dtype=torch.bfloat16), None).dtype == torch.bfloat16
