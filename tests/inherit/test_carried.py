"""What units carry: nothing where nothing is lost, the whole where all is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from towers import (  # type: ignore[import-not-found]
    DRAWN,
    Pairs,
    noisy,
    plain_shape,
    shapes,
    siglip_shape,
    some_pairs,
    watched,
)

from tinyclip.inherit.carried import carried
from tinyclip.inherit.rotate import rotate
from tinyclip.masks.sites import layout
from tinyclip.model.clip import Clip
from tinyclip.shapes import ClipShape
from tinyclip.sites import SITES

DOUBLE = torch.float64
PAIRS = some_pairs(24, dtype=DOUBLE)
FAMILIES = {"clip": plain_shape(), "siglip": siglip_shape()}


@pytest.fixture(params=FAMILIES)
def turned(request: pytest.FixtureRequest) -> Clip:
    model = noisy(FAMILIES[request.param], dtype=DOUBLE)
    return rotate(model, [PAIRS]).model


@DRAWN
@given(shape=shapes(), rotated=st.booleans())
def test_every_unit_of_every_site_has_a_finite_score(
    shape: ClipShape, rotated: bool
) -> None:
    model = noisy(shape, dtype=DOUBLE)
    if rotated:
        model = rotate(model, [PAIRS]).model
    scores = carried(model, [PAIRS])
    units = layout(model.shape, tuple(SITES))
    assert {name: len(s) for name, s in scores.items()} == {
        name: sum(counts) for name, counts in units.items()
    }
    for score in scores.values():
        assert score.isfinite().all() and (score >= 0).all()


@torch.no_grad()
def test_a_direction_that_nothing_is_written_to_carries_nothing(turned: Clip) -> None:
    text = turned.text
    for value in (text.token_embedding, text.position):
        value[:, 8] = 0
    for block in text.blocks:
        for layer in (block.attention.out, block.ffn.down):
            layer.weight[8], layer.bias[8] = 0, 0
    score = carried(turned, [PAIRS])["text_embed"]
    assert score[8] == 0 < float(score[:8].min())


@torch.no_grad()
def test_a_dim_that_no_head_needs_carries_nothing(turned: Clip) -> None:
    """In every head of a layer one dim is told by another, in scores and in values."""
    attention = turned.image.blocks[1].attention
    dims = attention.dims
    for head in range(attention.heads):
        first, last = head * dims, (head + 1) * dims - 1
        attention.q.weight[last], attention.q.bias[last] = 0, 0
        attention.out.weight[:, first] = attention.out.weight[:, last]
    score = carried(turned, [PAIRS])["image_dims"][dims:]
    assert score[-1] < 1e-18 * score[0] and score[-2] > 1e-6 * score[0]


@torch.no_grad()
def test_units_and_heads_that_write_nothing_carry_nothing(turned: Clip) -> None:
    block = turned.image.blocks[0]
    block.attention.out.weight[:, : block.attention.dims] = 0
    scores = carried(turned, [PAIRS])
    assert scores["image_heads"][0] == 0 < scores["image_heads"][1]
    block.ffn.down.weight[:] = 0
    scores = carried(turned, [PAIRS])
    assert not scores["image_ffn"][:12].any() and scores["image_ffn"][12:].all()
    layers = scores["image_ffn_layers"]
    assert layers[0] < 1e-15 * layers[1]


@torch.no_grad()
def test_a_unit_that_another_tells_carries_nothing_beside_it(turned: Clip) -> None:
    up = turned.text.blocks[0].ffn.up
    up.weight[5], up.bias[5] = up.weight[2], up.bias[2]
    score = carried(turned, [PAIRS])["text_ffn"]
    twins = score[[2, 5]].sort().values
    assert twins[0] < 1e-9 * twins[1]


def test_scores_fall_along_directions_and_dims_of_a_rotated_model(
    turned: Clip,
) -> None:
    scores = carried(turned, [PAIRS])
    for name, tower in turned.shape.towers().items():
        held = scores[f"{name}_embed"]
        assert (held.diff() <= 1e-3 * held[1:]).all()  # each norm counts alike here
        assert held[0] > 2 * held[-1]
        for layer in scores[f"{name}_dims"].split([b.dims for b in tower.blocks]):
            assert (layer.diff() <= 1e-12 * layer[0]).all()
            assert layer[0] > 2 * layer[-1]


def test_a_whole_layer_carries_its_output_s_share_of_every_stream_behind_it(
    turned: Clip,
) -> None:
    tower, scores = turned.image, carried(turned, [PAIRS])
    seen = watched(tower, PAIRS.pixels)
    streams = [seen[n][0] for b in tower.blocks for n in (b.norm_1, b.norm_2)]
    streams.append(hooked_last(turned, PAIRS))
    powers = [np.square(x.numpy()).sum(-1).mean() for x in streams]
    written = {
        "attention_layers": [seen[b.attention][1] for b in tower.blocks],
        "ffn_layers": [seen[b.ffn][1] for b in tower.blocks],
    }
    for offset, (site, updates) in enumerate(written.items()):
        for number, update in enumerate(updates):
            rows = update.numpy().reshape(-1, update.shape[-1])
            spread = np.square(rows - rows.mean(0)).sum(-1).mean()
            behind = powers[2 * number + offset + 1 :]
            expected = sum(spread / power for power in behind)
            assert float(scores[f"image_{site}"][number]) == pytest.approx(expected)


@torch.no_grad()
def hooked_last(model: Clip, pairs: Pairs) -> Tensor:
    """The stream behind the last block."""
    return watched(model.image, pairs.pixels)[model.image.blocks[-1]][1]


def test_units_of_an_ffn_carry_together_what_it_writes(turned: Clip) -> None:
    """But for what a unit tells only beside one that is chosen after it. Tokens that
    become the feature weigh more there: with all of them pooled, nothing does."""
    scores = carried(turned, [PAIRS])
    towers = ("image", "text") if turned.shape.image.pool == "map" else ("image",)
    for tower in towers:
        whole = scores[f"{tower}_ffn_layers"]
        units = scores[f"{tower}_ffn"].split(12)
        exact = turned.shape.image.pool == "map" and tower == "image"
        for layer, score in zip(whole, units, strict=True):
            most = layer * (1 + 1e-9 if exact else 1.5)
            assert 0.7 * layer < score.sum() <= most


def test_processes_that_saw_the_same_change_nothing(turned: Clip) -> None:
    doubled: Callable[[Tensor], Tensor] = lambda value: value * 2  # noqa: E731
    one, two = carried(turned, [PAIRS]), carried(turned, [PAIRS], doubled)
    for name, score in one.items():
        torch.testing.assert_close(score, two[name], rtol=1e-9, atol=1e-15)


def test_without_pairs_there_is_no_ranking(turned: Clip) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        carried(turned, [])
