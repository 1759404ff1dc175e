"""A stream that is taken from block to block, against hooks on the whole model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from towers import (
    DRAWN,
    Pairs,
    noisy,
    plain_shape,
    shapes,
    some_pairs,
    watched,  # type: ignore[import-not-found]
)

from tinyclip.inherit.moments import Moment
from tinyclip.inherit.rotate import rotate
from tinyclip.inherit.stream import Stream
from tinyclip.inherit.turn import last_norm
from tinyclip.model.norm import RmsNorm
from tinyclip.model.text import TextTower
from tinyclip.shapes import ClipShape

DOUBLE = torch.float64


def inputs_of(tower: nn.Module, pairs: Pairs) -> Tensor:
    return pairs.tokens_BT if isinstance(tower, TextTower) else pairs.pixels


def read_tokens(tower: nn.Module, pairs: Pairs) -> np.ndarray:
    """The tokens that the feature depends on, by the switches, (B, N)."""
    if not isinstance(tower, TextTower):
        return np.ones((len(pairs), tower.shape.tokens), dtype=bool)
    ids, shape = pairs.tokens_BT.numpy(), tower.shape
    end = {"first": 0 * ids[:, 0], "last": 0 * ids[:, 0] + ids.shape[1] - 1}
    ends = end.get(shape.pool, (ids == 39).argmax(1))
    if not shape.causal:
        return np.ones(ids.shape, dtype=bool)
    return np.arange(ids.shape[1])[None] <= ends[:, None]


def divided(norm: nn.Module, x: Tensor) -> np.ndarray:
    """What a norm makes of rows before its weight and bias, by NumPy."""
    rows = x.double().numpy()
    if isinstance(norm, RmsNorm):
        square = np.square(rows).sum(-1, keepdims=True) / norm.full_width
        return rows / np.sqrt(square + norm.eps)
    rows = rows - rows.mean(-1, keepdims=True)
    return rows / np.sqrt(np.square(rows).mean(-1, keepdims=True) + norm.eps)


def assert_moment(
    moment: Moment, rows: np.ndarray, weights: np.ndarray | None = None
) -> None:
    """Of rows that count alike, or by weights that sum to 1."""
    if weights is None:
        assert moment.count == len(rows)
        weights = np.full(len(rows), 1 / len(rows))
    np.testing.assert_allclose(moment.mean, weights @ rows, atol=1e-11)
    second = (rows * weights[:, None]).T @ rows
    np.testing.assert_allclose(moment.second, second, atol=1e-11)


def weights_of(tower: nn.Module, pairs: Pairs) -> np.ndarray:
    """The tokens that are read, where those of the feature hold 0.3 of a pair, (R,)."""
    read, shape = read_tokens(tower, pairs), tower.shape
    pooled = np.zeros(read.shape)
    if isinstance(tower, TextTower):
        fixed = {"first": 0, "last": read.shape[1] - 1}
        ends = (pairs.tokens_BT.numpy() == 39).argmax(1)
        ends = np.full(len(read), fixed[shape.pool]) if shape.pool in fixed else ends
        pooled[np.arange(len(read)), ends] = 1
    elif shape.pool == "class":
        pooled[:, 0] = 1
    else:
        pooled[:, int(shape.pool == "mean" and shape.class_token) :] = 1
    each = [mask / mask.sum(1, keepdims=True) for mask in (read, pooled)]
    return (0.7 * each[0] + 0.3 * each[1])[read] / len(read)


@DRAWN
@given(shape=shapes(), seed=st.integers(0, 99), rotated=st.booleans())
def test_norms_read_and_layers_write_what_hooks_on_the_model_see(
    shape: ClipShape, seed: int, rotated: bool
) -> None:
    model, pairs = noisy(shape, seed, DOUBLE), some_pairs(6, seed, DOUBLE)
    if rotated:
        model = rotate(model, [pairs]).model
    for tower in (model.image, model.text):
        seen, read = watched(tower, inputs_of(tower, pairs)), read_tokens(tower, pairs)
        stream = Stream(tower, [pairs])
        for block in tower.blocks:
            layers = (
                (block.norm_1, block.attention, block.scale_1, stream.attend),
                (block.norm_2, block.ffn, block.scale_2, stream.feed),
            )
            for norm, layer, scale, take in layers:
                if norm is None:
                    assert not take(block).any()
                    continue
                before, after = seen[norm]
                assert_moment(stream.look(norm), divided(norm, before)[read])
                assert_moment(stream.read(norm), after.numpy()[read])
                if layer is block.ffn and layer.units:
                    hidden = layer.activation(
                        nn.functional.linear(after, layer.up.weight, layer.up.bias)
                    )
                    weights = weights_of(tower, pairs)
                    rows = hidden.detach().numpy()[read]
                    assert_moment(stream.hidden(block), rows, weights)
                wrote = seen[layer][1] * (1 if scale is None else scale.detach())
                rows = wrote.numpy()[read]
                sums = [np.square(rows).sum(), len(rows), *rows.sum(0)]
                np.testing.assert_allclose(take(block), sums, atol=1e-9)
            walked = stream.parts[0]  # of a text no more than is read
            whole = seen[block][1][:, : walked.shape[1]]
            torch.testing.assert_close(walked, whole, rtol=0, atol=1e-12)


@DRAWN
@given(shape=shapes(), seed=st.integers(0, 99))
def test_the_last_norm_reads_the_tokens_that_become_the_feature(
    shape: ClipShape, seed: int
) -> None:
    model, pairs = noisy(shape, seed, DOUBLE), some_pairs(6, seed, DOUBLE)
    for tower in (model.image, model.text):
        norm, stream = last_norm(tower), Stream(tower, [pairs])
        for block in tower.blocks:
            stream.attend(block)
            stream.feed(block)
        before = seen_by(norm, tower, pairs)
        assert_moment(stream.look(norm, last=True), divided(norm, before))


def seen_by(norm: nn.Module, tower: nn.Module, pairs: Pairs) -> Tensor:
    """What the last norm took, a row each: of a text, the token of the feature only."""
    rows = watched(tower, inputs_of(tower, pairs))[norm][0]
    return rows.reshape(-1, rows.shape[-1])


@DRAWN
@given(shape=shapes(), seed=st.integers(0, 99), last=st.booleans())
def test_two_streams_are_looked_at_side_by_side(
    shape: ClipShape, seed: int, last: bool
) -> None:
    pairs = some_pairs(5, seed, DOUBLE)
    for name in ("image", "text"):
        one, two = (getattr(noisy(shape, seed + i, DOUBLE), name) for i in (0, 1))
        streams = [Stream(tower, [pairs]) for tower in (one, two)]
        for stream, tower in zip(streams, (one, two), strict=True):
            for block in tower.blocks:
                stream.attend(block)
                stream.feed(block)
        norms = [last_norm(tower) for tower in (one, two)]
        moment = streams[1].beside(norms[1], streams[0], norms[0], last)
        rows = []
        for tower, norm in zip((one, two), norms, strict=True):
            x = watched(tower, inputs_of(tower, pairs))
            last_x, out = x[tower.blocks[-1]][1], x[norm][1]
            read = torch.from_numpy(read_tokens(tower, pairs))
            every = norm(last_x, None).detach()[read]
            rows.append((out.reshape(-1, out.shape[-1]) if last else every).numpy())
        weights = None if last else weights_of(one, pairs)
        assert_moment(moment, np.concatenate(rows, 1), weights)


def test_what_stands_behind_the_end_of_a_causal_text_does_not_count() -> None:
    tower = noisy(plain_shape(), dtype=DOUBLE).text
    pairs = some_pairs(8)
    place, end = torch.arange(7), pairs.tokens_BT.argmax(1)[:, None]
    other = Pairs(pairs.pixels, pairs.tokens_BT + 5 * (place > end))
    one, two = Stream(tower, [pairs]), Stream(tower, [other])
    for block in tower.blocks:
        for look in (Stream.look, Stream.read):
            moments = [look(stream, block.norm_1) for stream in (one, two)]
            assert torch.equal(moments[0].second, moments[1].second)
            assert moments[0].count == int((end + 1).sum())
        assert torch.equal(one.hidden(block).second, two.hidden(block).second)
        assert torch.equal(one.attend(block), two.attend(block))
        assert torch.equal(one.feed(block), two.feed(block))
    assert torch.equal(one.power(True), two.power(True))


@pytest.mark.parametrize("centred", [True, False])
def test_power_is_the_square_of_all_that_is_read(centred: bool) -> None:
    tower, pairs = noisy(plain_shape()).text, some_pairs(5)
    rows = tower.start(pairs.tokens_BT).detach().double().numpy()
    rows = rows[read_tokens(tower, pairs)]
    if centred:
        rows = rows - rows.mean(-1, keepdims=True)
    power, count = Stream(tower, [pairs]).power(centred).tolist()
    assert count == len(rows)
    assert power == pytest.approx(np.square(rows).sum(), rel=1e-6)


def test_a_stream_in_parts_is_the_whole() -> None:
    tower, pairs = noisy(plain_shape(), dtype=DOUBLE).image, some_pairs(9, dtype=DOUBLE)
    rows = [torch.arange(4), torch.arange(4, 9)]
    parts = [Pairs(pairs.pixels[row], pairs.tokens_BT[row]) for row in rows]
    whole, split = Stream(tower, [pairs]), Stream(tower, parts)
    block = tower.blocks[0]
    torch.testing.assert_close(whole.attend(block), split.attend(block))
    one, two = whole.look(block.norm_2), split.look(block.norm_2)
    torch.testing.assert_close(one.second, two.second, rtol=1e-12, atol=1e-14)


def test_the_tower_is_left_as_it_was() -> None:
    tower = noisy(plain_shape()).image
    before = copy.deepcopy(tower.state_dict())
    stream = Stream(tower, [some_pairs(3)])
    stream.attend(tower.blocks[0])
    assert all(torch.equal(v, before[name]) for name, v in tower.state_dict().items())
    assert not stream.parts[0].requires_grad
