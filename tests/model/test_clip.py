"""The canonical CLIP against counts and a reference that share no code with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from tinyclip import cost
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape

Array = NDArray[np.float64]


def pixels(shape: ClipShape, count: int = 3) -> torch.Tensor:
    side = shape.image.image_size
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def tokens(shape: ClipShape, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    size = (count, shape.text.context_length)
    return torch.randint(0, shape.text.vocab_size, size, generator=generator)


def dead_layers(shape: ClipShape) -> ClipShape:
    """The shape with a layer without heads and one without FFN units a tower."""
    blocks = (BlockShape(heads=0, ffn=9), BlockShape(heads=2, ffn=0))
    return shape.with_towers(
        image=replace(shape.image, blocks=blocks),
        text=replace(shape.text, blocks=blocks),
    )


@pytest.mark.parametrize("dead", [False, True])
def test_cost_counts_every_stored_parameter(pico_shape: ClipShape, dead: bool) -> None:
    shape = dead_layers(pico_shape) if dead else pico_shape
    stored = sum(p.numel() for p in Clip(shape).parameters())
    assert cost.sizes(shape)["total"] == stored


def test_encoder_is_the_blocks_matrices_and_biases(pico_clip: Clip) -> None:
    counted = sum(
        parameter.numel()
        for name, parameter in pico_clip.named_parameters()
        if ".attention." in name or ".ffn." in name
    )
    assert cost.sizes(pico_clip.shape)["encoder"] == counted


@pytest.mark.parametrize("dead", [False, True])
def test_macs_are_half_of_torchs_flops(pico_shape: ClipShape, dead: bool) -> None:
    shape = dead_layers(pico_shape) if dead else pico_shape
    # the counter's hooks trip over weights that want a gradient under no_grad
    model = Clip(shape).init_weights(0).eval().requires_grad_(False)
    for name, run in (
        ("image", lambda: model.encode_image(pixels(shape, 1))),
        ("text", lambda: model.encode_text(tokens(shape, 1))),
    ):
        with FlopCounterMode(display=False) as counter:
            run()
        macs = cost.tower_macs(shape.towers()[name], shape.embed_dim)
        assert counter.get_total_flops() == 2 * macs, name


@pytest.mark.parametrize("dead", [False, True])
def test_features_are_those_of_a_float64_reference(
    pico_clip: Clip, pico_shape: ClipShape, dead: bool
) -> None:
    model = pico_clip
    if dead:
        model = Clip(dead_layers(pico_shape)).init_weights(3)
    shape = model.shape
    weights = {n: p.detach().double().numpy() for n, p in model.named_parameters()}
    x, ids = pixels(shape), tokens(shape)
    with torch.no_grad():
        image, text = model.encode_image(x), model.encode_text(ids)
    expected = reference_image(weights, shape, x.double().numpy())
    np.testing.assert_allclose(image.numpy(), expected, rtol=1e-4, atol=1e-5)
    expected = reference_text(weights, shape, ids.numpy())
    np.testing.assert_allclose(text.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_normalised_features_have_length_one(pico_clip: Clip) -> None:
    with torch.no_grad():
        outputs = pico_clip(pixels(pico_clip.shape), tokens(pico_clip.shape))
    for features in (outputs.image_BE, outputs.text_BE):
        assert torch.allclose(features.norm(dim=-1), torch.ones(3))


def test_what_follows_the_end_of_a_caption_changes_nothing(pico_clip: Clip) -> None:
    end = pico_clip.shape.text.vocab_size - 1
    one = torch.tensor([[3, 4, end, 0, 0, 0, 0, 0]])
    two = torch.tensor([[3, 4, end, end, 7, 1, end, 2]])
    with torch.no_grad():
        first, second = pico_clip.encode_text(one), pico_clip.encode_text(two)
    assert torch.allclose(first, second, atol=1e-6)


def test_one_seed_gives_one_set_of_weights(pico_shape: ClipShape) -> None:
    one, same = Clip(pico_shape).init_weights(5), Clip(pico_shape).init_weights(5)
    other = Clip(pico_shape).init_weights(6)
    assert torch.equal(one.image.patch, same.image.patch)
    assert not torch.equal(one.image.patch, other.image.patch)


# the reference: plain loops over heads, NumPy, float64


def normed(w: dict[str, Array], name: str, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(w: dict[str, Array], name: str, x: Array) -> Array:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def gelu(x: Array) -> Array:
    from math import erf

    return x * 0.5 * (1 + np.vectorize(erf, otypes=[float])(x / np.sqrt(2)))


def blocks(w: dict[str, Array], shape: ClipShape, tower: str, x: Array) -> Array:
    sizes = shape.towers()[tower]
    n = x.shape[1]
    mask = np.triu(np.full((n, n), -np.inf), 1) if tower == "text" else np.zeros((n, n))
    for layer, block in enumerate(sizes.blocks):
        name = f"{tower}.blocks.{layer}"
        y = normed(w, f"{name}.norm_1", x)
        q, k, v = (linear(w, f"{name}.attention.{p}", y) for p in "qkv")
        heads = []
        for head in range(block.heads):
            cut = slice(head * sizes.head_width, (head + 1) * sizes.head_width)
            scores = q[..., cut] @ k[..., cut].swapaxes(-1, -2)
            scores = np.exp(scores / np.sqrt(sizes.head_width) + mask)
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[..., cut])
        joined = np.concatenate(heads, -1) if heads else np.zeros((*x.shape[:2], 0))
        x = x + linear(w, f"{name}.attention.out", joined)
        inner = gelu(linear(w, f"{name}.ffn.up", normed(w, f"{name}.norm_2", x)))
        x = x + linear(w, f"{name}.ffn.down", inner)
    return x


def reference_image(w: dict[str, Array], shape: ClipShape, x: Array) -> Array:
    side, size = shape.image.image_size, shape.image.patch_size
    rows = [w["image.class_embedding"] + np.zeros((len(x), 1, 1))]
    for top in range(0, side, size):
        for left in range(0, side, size):
            patch = x[:, :, top : top + size, left : left + size]
            row = np.einsum("bchw,dchw->bd", patch, w["image.patch"])
            rows.append(row[:, None])
    stream = np.concatenate(rows, 1) + w["image.position"]
    stream = blocks(w, shape, "image", normed(w, "image.norm_pre", stream))
    return normed(w, "image.norm_post", stream[:, 0]) @ w["image.projection"]


def reference_text(
    w: dict[str, Array], shape: ClipShape, ids: NDArray[np.int64]
) -> Array:
    stream = w["text.token_embedding"][ids] + w["text.position"]
    stream = blocks(w, shape, "text", stream)
    pooled = stream[np.arange(len(ids)), ids.argmax(-1)]
    return normed(w, "text.norm_final", pooled) @ w["text.projection"]
