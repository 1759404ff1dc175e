"""LayerNorm under a gate, and gates on weights, against NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.model.gating import (
    ClipGates,
    TowerGates,
    gate_columns,
    gate_rows,
    resolve,
)
from tinyclip.model.norm import layer_norm
from tinyclip.shapes import ClipShape

EPS = 1e-5


def norm_of_open(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, gate: np.ndarray
) -> np.ndarray:
    """Cut the open channels out, normalise them alone, put them back."""
    is_open = gate > 0
    cut = x[..., is_open].astype(np.float64)
    centred = cut - cut.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS)
    result = np.zeros_like(x, dtype=np.float64)
    result[..., is_open] = (scaled * weight[is_open] + bias[is_open]) * gate[is_open]
    return result


def gated_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, gate: np.ndarray
) -> np.ndarray:
    x_, weight_, bias_, gate_ = map(torch.from_numpy, (x, weight, bias, gate))
    return layer_norm(x_, weight_, bias_, EPS, gate_).numpy()


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 40),
    mean=st.floats(-30, 30),
    closed=st.floats(0, 0.9),
    seed=st.integers(0, 2**31),
)
def test_statistics_see_the_open_channels_only(
    width: int, mean: float, closed: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    x = (random.normal(size=(3, 5, width)) + mean).astype(np.float32)
    weight, bias = random.normal(size=(2, width)).astype(np.float32)
    gate = np.where(random.random(width) < closed, 0, random.uniform(0.05, 1, width))
    gate = gate.astype(np.float32)
    gate[0] = 0.5  # one channel at least
    expected = norm_of_open(x, weight, bias, gate)
    normalised = gated_norm(x, weight, bias, gate)
    # the mean of float32 inputs is known to |mean|·2⁻²⁴, which one channel alone feels
    np.testing.assert_allclose(normalised, expected, atol=3e-4)


def test_a_large_mean_costs_no_digits() -> None:
    random = np.random.default_rng(0)
    x = (random.normal(size=(64, 128)) + 10).astype(np.float32)
    weight, bias = np.ones(128, np.float32), np.zeros(128, np.float32)
    gate = np.ones(128, np.float32)
    normalised = gated_norm(x, weight, bias, gate)
    error = np.abs(normalised - norm_of_open(x, weight, bias, gate)).max()
    assert error < 1e-5  # E[x²] − m² loses 5e-5 here


def test_open_gates_are_the_stock_layer_norm() -> None:
    x, weight, bias = torch.randn(4, 9), torch.randn(9), torch.randn(9)
    stock = F.layer_norm(x, (9,), weight, bias, EPS)
    gated = layer_norm(x, weight, bias, EPS, torch.ones(9))
    torch.testing.assert_close(gated, stock)
    assert torch.equal(layer_norm(x, weight, bias, EPS, None), stock)


def test_no_open_channel_gives_zeros_not_nans() -> None:
    x = torch.randn(4, 9)
    normalised = layer_norm(x, torch.ones(9), torch.ones(9), EPS, torch.zeros(9))
    assert torch.equal(normalised, torch.zeros(4, 9))


def test_statistics_stay_in_float32_under_autocast() -> None:
    x, gate = torch.randn(4, 256) + 10, torch.ones(256)
    plain = layer_norm(x, torch.ones(256), torch.zeros(256), EPS, gate)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = layer_norm(x, torch.ones(256), torch.zeros(256), EPS, gate)
    assert torch.equal(cast, plain)


def test_gates_scale_rows_and_repeated_columns() -> None:
    weight, gate = torch.ones(2, 6), torch.tensor([0.5, 0.0])
    assert gate_rows(weight, gate).tolist() == [[0.5] * 6, [0.0] * 6]
    assert gate_columns(weight, gate, repeat=3)[0].tolist() == [0.5] * 3 + [0.0] * 3
    assert gate_rows(weight, None) is weight
    assert gate_columns(weight, None) is weight


def test_a_module_of_gates_is_asked_once_a_forward(pico_clip: Clip) -> None:
    asked = []

    def sample() -> ClipGates:
        asked.append(1)
        return ClipGates()

    pixels, tokens = torch.zeros(1, 3, 16, 16), torch.zeros(1, 8, dtype=torch.long)
    pico_clip(pixels, tokens, gates=sample)
    assert len(asked) == 1
    assert resolve(None) == ClipGates()


@pytest.mark.parametrize("site", ["heads", "ffn", "embed"])
def test_open_gates_change_no_feature(pico_clip: Clip, site: str) -> None:
    pico_clip.eval()
    pixels, tokens = torch.randn(3, 3, 16, 16), torch.randint(0, 50, (3, 8))
    gates = Gates(pico_clip, sites=(site,))
    with torch.no_grad():
        for alpha in gates.alpha.values():
            alpha.fill_(1e4)
        gated, plain = pico_clip(pixels, tokens, gates=gates), pico_clip(pixels, tokens)
    torch.testing.assert_close(gated.image_BE, plain.image_BE, atol=1e-6, rtol=0)
    torch.testing.assert_close(gated.text_BE, plain.text_BE, atol=1e-6, rtol=0)


def test_a_closed_head_is_a_head_whose_output_is_zero(pico_clip: Clip) -> None:
    pico_clip.eval()
    pixels = torch.randn(3, 3, 16, 16)
    heads = (torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.ones(3))
    gates = ClipGates(image=TowerGates({"heads": heads}))
    with torch.no_grad():
        gated = pico_clip.encode_image(pixels, gates=gates)
        # head 1 owns rows 6 to 12 of v: without them it says nothing
        pico_clip.image.blocks[0].attention.v.weight[6:12] = 0
        pico_clip.image.blocks[0].attention.v.bias[6:12] = 0
        silent = pico_clip.encode_image(pixels)
    torch.testing.assert_close(gated, silent)


def test_every_gate_gets_a_gradient_from_the_features(
    pico_clip: Clip, pico_shape: ClipShape
) -> None:
    gates = Gates(pico_shape).init_constant(0.5)
    noise = torch.Generator().manual_seed(1)
    pixels, tokens = torch.randn(3, 3, 16, 16), torch.randint(0, 50, (3, 8))
    for _ in range(8):  # a gate at 0 or 1 has none, so each sample reaches some only
        features = pico_clip(pixels, tokens, gates=gates.sample(noise))
        (features.image_BE[:, 0].sum() + features.text_BE[:, 0].sum()).backward()
    for name, alpha in gates.alpha.items():
        assert (alpha.grad != 0).float().mean() > 0.9, name
