"""A rotated student in the form of stock classes: the same function, against NumPy and
the stock libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from towers import filled, in_basis, inputs  # type: ignore[import-not-found]

from tinyclip.formats.stock import (
    as_layer_norm,
    is_stock,
    stock_shape,
    zero_sum_basis,
)
from tinyclip.inherit.rotate import rotate
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape

EXACT = 1e-10  # in float64


@torch.no_grad()
def gap(one: Clip, other: Clip) -> dict[str, float]:
    """By tower, the largest difference of normalised features."""
    pixels, ids = inputs(one.shape, one.logit_scale.dtype)
    image = [m.encode_image(pixels, normalize=True) for m in (one, other)]
    text = [m.encode_text(ids, normalize=True) for m in (one, other)]
    return {
        name: float((a - b).abs().max())
        for name, (a, b) in {"image": image, "text": text}.items()
    }


@pytest.mark.parametrize("width", [2, 3, 16, 97])
def test_the_basis_is_orthonormal_and_its_columns_sum_to_zero(width: int) -> None:
    basis = zero_sum_basis(width).numpy()
    assert basis.shape == (width, width - 1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(width - 1), atol=1e-13)
    np.testing.assert_allclose(basis.sum(0), 0, atol=1e-13)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_without_a_stem_it_is_the_same_function(data: Any) -> None:
    draw, switch = data.draw, st.booleans()

    def tower(kind: Callable[..., Any], **own: Any) -> Any:
        heads, dims = draw(st.integers(1, 3)), draw(st.integers(2, 5))
        width = heads * dims - 1
        block = BlockShape(heads=heads, dims=dims, ffn=draw(st.integers(1, 9)))
        return kind(
            width=width,
            norm="rms",
            full_width=width + draw(st.integers(1, 9)),
            head_width=dims + draw(st.integers(0, 3)),
            blocks=(block,) * draw(st.integers(1, 3)),
            eps=draw(st.sampled_from([1e-6, 1e-5, 1e-2])),
            layer_scale=draw(switch),
            projection_bias=draw(switch),
            activation=draw(st.sampled_from(["gelu", "quick_gelu"])),
            **own,
        )

    pool = draw(st.sampled_from(["class", "mean"]))
    image = tower(
        ImageShape,
        image_size=8,
        patch_size=4,
        pool=pool,
        norm_pre=False,
        class_token=pool == "class" or draw(switch),
        patch_bias=draw(switch),
        norm_after_pool=draw(switch),
    )
    pools = st.sampled_from(["argmax", "eos", "last", "first"])
    text = tower(
        TextShape,
        context_length=6,
        vocab_size=30,
        causal=draw(switch),
        pool=draw(pools),
        eos_id=29,
    )
    shape = ClipShape(embed_dim=draw(st.integers(2, 9)), image=image, text=text)
    model = filled(shape, draw(st.integers(0, 99))).double()
    stock = as_layer_norm(model)
    assert stock.shape == stock_shape(shape)
    assert is_stock(stock.shape)
    assert not (stock.shape.image.projection_bias or stock.shape.text.projection_bias)
    assert all(t.norm == "layer" for t in stock.shape.towers().values())
    assert max(gap(model, stock).values()) <= EXACT


def test_a_norm_of_k_channels_is_the_norm_of_k_less_one_directions() -> None:
    """The identity itself, in NumPy."""
    draw, full, width = np.random.default_rng(0), 24, 16
    z = draw.normal(size=(5, width - 1))
    eps = 1e-3
    rms = z / np.sqrt((z**2).sum(1, keepdims=True) / full + eps)
    basis = zero_sum_basis(width).numpy()
    x = z @ basis.T
    centred = x - x.mean(1, keepdims=True)
    variance = (centred**2).mean(1, keepdims=True)
    layer = centred / np.sqrt(variance + eps * full / width)
    np.testing.assert_allclose(
        np.sqrt(full / width) * layer @ basis, rms, rtol=1e-12, atol=1e-14
    )


def test_a_plain_tower_of_fewer_dims_has_its_queries_scaled(
    pico_shape: ClipShape,
) -> None:
    """Stock attention divides by the root of 3, ours by that of 6."""
    image = replace(pico_shape.image, blocks=(BlockShape(heads=8, dims=3, ffn=5),) * 2)
    text = replace(pico_shape.text, blocks=(BlockShape(heads=4, ffn=5),))
    model = filled(pico_shape.with_towers(image=image, text=text)).double()
    stock = as_layer_norm(model)
    assert stock.shape.image.head_width == 3
    assert max(gap(model, stock).values()) <= EXACT
    weight = model.image.blocks[0].attention.q.weight
    torch.testing.assert_close(
        stock.image.blocks[0].attention.q.weight, weight * 0.5**0.5
    )


def test_the_model_is_left_as_it_is(stemmed: ClipShape) -> None:
    model = filled(stemmed)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    as_layer_norm(model, inputs(stemmed, torch.float32)[0])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_ragged_shape_stays(stemmed: ClipShape) -> None:
    blocks = (BlockShape(heads=3, dims=4, ffn=9), stemmed.image.blocks[0])
    ragged = stemmed.with_towers(image=replace(stemmed.image, blocks=blocks))
    assert stock_shape(ragged) == ragged


def test_behind_a_flat_norm_an_uncut_stem_is_exact(stemmed: ClipShape) -> None:
    """Every token is as long as another there, so nothing is lost."""
    image = replace(in_basis(stemmed.image, 6, 24, projection_bias=True), eps=1e-12)
    model = filled(stemmed.with_towers(image=image)).double()
    with torch.no_grad():
        model.image.stem.copy_(zero_sum_basis(24))
        model.image.norm_pre.weight.fill_(1.7)
    pixels, _ = inputs(model.shape, torch.float64)
    assert max(gap(model, as_layer_norm(model, pixels)).values()) <= 1e-9


@pytest.mark.parametrize("norm_pre", [True, False])
def test_a_teacher_there_and_back_is_itself(
    uniform_loaded: Loaded, norm_pre: bool
) -> None:
    """Rotated into its principal basis, then in the form of stock classes."""
    shape = uniform_loaded.model.shape
    image = replace(shape.image, norm_pre=norm_pre)
    teacher = filled(shape.with_towers(image=image)).double()
    if norm_pre:
        with torch.no_grad():  # flat: all tokens are as long
            teacher.image.norm_pre.weight.fill_(1.3)
    pixels, ids = inputs(teacher.shape, torch.float64)
    turned = rotate(teacher, [SimpleNamespace(pixels=pixels, tokens_BT=ids)]).model
    assert turned.shape.text.width == 15 and turned.shape.image.rotated
    back = as_layer_norm(turned, pixels)
    assert back.shape.text == teacher.shape.text
    gaps = gap(teacher, back)
    assert gaps["text"] <= EXACT
    assert gaps["image"] <= (1e-4 if norm_pre else EXACT)  # the first norm's eps


def tokens_of(model: Clip, pixels: Tensor) -> np.ndarray:
    """What goes into the norm before the blocks, in NumPy."""
    image, size = model.image, model.shape.image.patch_size
    x = pixels.numpy()
    rows = [
        x[:, :, i : i + size, j : j + size].reshape(len(x), -1)
        for i in range(0, x.shape[2], size)
        for j in range(0, x.shape[3], size)
    ]
    patch = image.patch.detach().numpy().reshape(len(image.patch), -1)
    patches = np.stack(rows, axis=1) @ patch.T
    first = np.broadcast_to(image.class_embedding.detach(), (len(x), 1, len(patch)))
    return np.concatenate([first, patches], 1) + image.position.detach().numpy()


def test_the_length_behind_a_stem_is_that_of_least_squares(
    stemmed: ClipShape,
) -> None:
    model = filled(stemmed).double()
    pixels, _ = inputs(stemmed, torch.float64)
    stock = as_layer_norm(model, pixels)
    e = tokens_of(model, pixels)
    centred = e - e.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    gamma = model.image.norm_pre.weight.detach().numpy()
    behind = (normal * gamma) @ model.image.stem.detach().numpy()  # but for its bias
    made = (centred * gamma) @ model.image.stem.detach().numpy()
    eps = 1e-5 * 24 / 16
    made /= np.sqrt((made**2).sum(-1, keepdims=True) / 16 + eps)
    length = np.linalg.lstsq(made.reshape(-1, 1), behind.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(stock.image.norm_pre.weight.detach(), length[0])


def test_behind_a_stem_directions_are_right_and_lengths_alike(
    stemmed: ClipShape,
) -> None:
    model = filled(stemmed).double()
    pixels, _ = inputs(stemmed, torch.float64)
    stock = as_layer_norm(model, pixels)
    basis = zero_sum_basis(16)
    with torch.no_grad():
        bias = model.image.norm_pre.bias @ model.image.stem
        ours = model.image.start(pixels) - bias
        theirs = stock.image.start(pixels) @ basis - bias
    cosine = torch.cosine_similarity(ours, theirs, dim=-1)
    assert cosine.min() > 1 - 1e-9
    lengths = theirs.norm(dim=-1)
    assert lengths.std() < 1e-3 * lengths.mean() < ours.norm(dim=-1).std()
    assert gap(model, stock)["text"] <= EXACT
