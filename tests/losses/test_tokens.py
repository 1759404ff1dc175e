"""Objectives on tokens of layers, against their formulas in NumPy.

Legend: B batch, N tokens, D the student's embed, F the teacher's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import token_formulas as formulas  # type: ignore[import-not-found]
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layered import (  # type: ignore[import-not-found]
    GONE,
    HALF,
    SIZES,
    WHOLE,
    as_wide,
    built,
    evenly,
    tokens,
)
from towers import siglip_shape  # type: ignore[import-not-found]

from tinyclip.config.place import Place
from tinyclip.errors import UserError
from tinyclip.losses.objectives import settle, weighted
from tinyclip.losses.tokens import Tokens, fewer, matched, projection
from tinyclip.model.clip import Features
from tinyclip.model.norm import evened
from tinyclip.shapes import BlockShape, TowerShape


def tower(*blocks: BlockShape) -> TowerShape:
    return TowerShape(width=4, head_width=4, blocks=blocks)


# which layers belong together


@pytest.mark.parametrize(
    ("mine", "theirs", "pairs"),
    [
        ((WHOLE,) * 3, (WHOLE,) * 3, ((0, 0), (1, 1), (2, 2))),
        ((WHOLE,) * 2, (WHOLE,) * 4, ((0, 1), (1, 3))),
        ((WHOLE,) * 3, (WHOLE,) * 4, ((0, 0), (1, 2), (2, 3))),
        ((WHOLE,) * 4, (WHOLE,) * 2, ((0, 0), (1, 0), (2, 1), (3, 1))),
        ((WHOLE, GONE, HALF), (HALF, GONE, WHOLE), ((0, 0), (2, 2))),
        ((WHOLE,), (GONE, WHOLE, WHOLE), ((0, 2),)),
        ((GONE,), (WHOLE,), ()),
        ((WHOLE,), (GONE,), ()),
    ],
)
def test_a_layer_goes_to_the_nearest_one_that_there_is(
    mine: Any, theirs: Any, pairs: Any
) -> None:
    assert matched(tower(*mine), tower(*theirs)) == pairs


@given(mine=st.integers(1, 40), theirs=st.integers(1, 40))
def test_layers_are_matched_in_order_and_the_last_with_the_last(
    mine: int, theirs: int
) -> None:
    pairs = matched(tower(*(WHOLE,) * mine), tower(*(WHOLE,) * theirs))
    places = [to for _, to in pairs]
    assert len(pairs) == mine
    assert places == sorted(places) and places[-1] == theirs - 1
    assert all(
        2 * abs((to + 1) * mine - (own + 1) * theirs) <= mine or to == 0
        for own, to in pairs
    )
    if mine <= theirs:
        assert len(set(places)) == mine


@given(count=st.integers(1, 12), wanted=st.integers(1, 15))
def test_fewer_layers_are_even_and_end_with_the_last(count: int, wanted: int) -> None:
    pairs = tuple((layer, layer) for layer in range(count))
    some = fewer(pairs, wanted)
    assert len(some) == len(set(some)) == min(count, wanted)
    assert some == tuple(sorted(some)) and some[-1] == pairs[-1]
    gaps = np.diff([own for own, _ in some])
    assert not len(gaps) or max(gaps) - min(gaps) <= 1


# how tokens are normalised


def test_tokens_are_as_the_norms_of_the_blocks_leave_them() -> None:
    x = torch.randn(2, 3, 8, dtype=torch.float64) * 5 + 2
    plain = replace(tower(WHOLE), width=8)
    turned = replace(plain, norm="rms", full_width=11)
    np.testing.assert_allclose(evened(x, plain), formulas.normalised(x.numpy()))
    np.testing.assert_allclose(evened(x, turned), formulas.normalised(x.numpy(), 11))


def test_a_closed_channel_counts_in_no_token() -> None:
    x, gate = torch.randn(2, 3, 8).double(), torch.tensor([1.0] * 5 + [0.0] * 3)
    plain = replace(tower(WHOLE), width=8)
    found = evened(x, plain, gate.double())
    np.testing.assert_allclose(found[..., :5], formulas.normalised(x[..., :5].numpy()))
    assert (found[..., 5:] == 0).all()


# layerwise


@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_layerwise_is_its_formula(size: int, width: int, wide: int, seed: int) -> None:
    module = built("layerwise", as_wide(width), as_wide(wide))
    mine, theirs = tokens(seed, size, 5, width, 2), tokens(seed + 1, size, 5, wide, 2)
    lengths = np.random.default_rng(seed).integers(1, 6, size).tolist()
    counts = torch.arange(5) < torch.tensor(lengths)[:, None]
    for name, told in (("image", None), ("text", lengths)):
        seen = None if told is None else counts
        given_B = module.distance(
            name, replace(mine, counts_BN=seen), replace(theirs, counts_BN=seen)
        )
        h, H = (
            [x.numpy() for x in side.layers_BND.values()] for side in (mine, theirs)
        )
        W = module.project[name].weight.detach().numpy()
        expected = formulas.layerwise(h, H, W, told)
        np.testing.assert_allclose(given_B.detach().numpy(), expected, rtol=1e-9)


@settings(max_examples=5, deadline=None)
@given(**SIZES)
def test_the_gradient_of_layerwise_is_the_finite_difference(
    size: int, width: int, wide: int, seed: int
) -> None:
    module = built("layerwise", as_wide(width, 1), as_wide(wide, 1), towers="image")
    mine, theirs = tokens(seed, size, 3, width), tokens(seed + 1, size, 3, wide)
    x, weight = mine.layers_BND[0].requires_grad_(), module.project["image"].weight
    loss = module.distance("image", mine, theirs).mean()
    by_x, by_weight = torch.autograd.grad(loss, (x, weight))
    draw = np.random.default_rng(seed)
    way, turn, step = draw.normal(size=x.shape), draw.normal(size=weight.shape), 1e-6
    h, H = x.detach().numpy(), theirs.layers_BND[0].numpy()
    W = weight.detach().numpy()

    def moved(by: float) -> float:
        found = formulas.layerwise([h + by * way], [H], W + by * turn)
        return float(found.mean())

    slope = float((by_x * torch.from_numpy(way)).sum())
    slope += float((by_weight * torch.from_numpy(turn)).sum())
    measured = (moved(step) - moved(-step)) / (2 * step)
    assert slope == pytest.approx(measured, rel=1e-4, abs=1e-6)


def test_layerwise_is_nothing_for_the_teacher_itself_and_more_for_others() -> None:
    module = built("layerwise", as_wide(6), as_wide(6))
    mine, other = tokens(0, 4, 5, 6, 2), tokens(1, 4, 5, 6, 2)
    assert float(module.distance("image", mine, mine).detach().max()) == 0
    assert float(module.distance("image", mine, other).detach().min()) > 0.1


def test_projections_start_as_the_identity_or_as_nothing() -> None:
    assert torch.equal(projection(5, 5).weight, torch.eye(5))
    assert not projection(4, 5).weight.any() and not projection(6, 5).weight.any()


def test_layerwise_is_1_where_nothing_is_known() -> None:
    module = built("layerwise", as_wide(6), as_wide(30))
    torch.nn.init.zeros_(module.project["image"].weight)
    theirs = {
        n: evened(x, as_wide(30).image)
        for n, x in enumerate([torch.randn(4, 5, 30)] * 2)
    }
    given_B = module.distance("image", tokens(0, 4, 5, 6, 2), Tokens(theirs))
    assert torch.allclose(given_B, torch.ones(4).double(), atol=1e-4)


def test_a_rotation_of_the_students_stream_is_undone_by_its_projection() -> None:
    module = built("layerwise", as_wide(6), as_wide(8))
    mine, theirs = tokens(0, 4, 5, 6, 2), tokens(1, 4, 5, 8, 2)
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    before = module.distance("text", mine, theirs)
    turned = Tokens({n: x @ turn for n, x in mine.layers_BND.items()})
    assert not torch.allclose(module.distance("text", turned, theirs), before)
    with torch.no_grad():
        weight = module.project["text"].weight
        weight.copy_(weight @ turn)
    torch.testing.assert_close(module.distance("text", turned, theirs), before)


def test_no_caption_that_ends_elsewhere_for_the_teacher_is_compared() -> None:
    module = built("layerwise", as_wide(6), as_wide(6))
    counts = torch.arange(5) < torch.tensor([3, 4])[:, None]
    mine = replace(tokens(0, 2, 5, 6, 2), counts_BN=counts)
    theirs = replace(tokens(1, 2, 5, 6, 2), counts_BN=counts.clone())
    theirs.counts_BN[1, 4] = True  # type: ignore[index]
    found = module.distance("text", mine, theirs).detach()
    assert float(found[0]) > 0 and float(found[1]) == 0


def test_towers_and_layers_are_those_that_are_asked_for() -> None:
    whole, image = (
        built("layerwise", as_wide(6, 4), as_wide(6, 4), towers=t)
        for t in ("both", "image")
    )
    assert list(whole.layers) == ["image", "text"] and list(image.layers) == ["image"]
    assert [n for n, _ in image.named_parameters()] == ["project.image.weight"]
    some = built("layerwise", as_wide(6, 4), as_wide(6, 8), layers=2)
    assert some.layers["image"] == ((1, 3), (3, 7))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "options"), [("layerwise", {}), ("tat", {"anchors": 2})]
)
def test_tokens_of_half_types_are_near(
    name: str, options: dict[str, Any], kind: torch.dtype
) -> None:
    shapes = as_wide(16), as_wide(24)
    module = built(name, *shapes, **options)
    drawn = tokens(0, 4, 5, 16, 2), tokens(1, 4, 5, 24, 2)
    exact, half = (
        [evenly(x, shape.image, how) for x, shape in zip(drawn, shapes, strict=True)]
        for how in (torch.float64, kind)
    )
    expected = module.distance("image", *exact)
    with torch.autocast("cpu", dtype=kind):
        near = module.float().distance("image", *half)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near.double(), expected, rtol=1e-2, atol=1e-2)


# both


def test_the_loss_is_the_mean_over_pairs_and_the_sum_over_towers() -> None:
    (asked,) = settle({"layerwise": 1.0}, Place(path="losses"))
    asked = asked.built(as_wide(6), as_wide(6), seed=0)
    rows = torch.randn(3, 4).double()
    values = {"layerwise.image": torch.rand(3), "layerwise.text": torch.rand(3)}
    features = Features(rows, rows, torch.tensor(9.0), more=values)
    loss, parts = weighted((asked,), features, features)
    image, text = (value.mean() for value in values.values())
    assert float(loss.detach()) == pytest.approx(float(image + text))
    assert float(parts["layerwise.image"]) == pytest.approx(float(image))
    assert float(parts["layerwise.text"]) == pytest.approx(float(text))


def test_a_teacher_of_other_tokens_is_refused_with_what_to_do() -> None:
    other = replace(as_wide(6), image=replace(as_wide(6).image, patch_size=2))
    with pytest.raises(UserError, match="has 5 tokens and the teacher's 17.* Use tat"):
        built("layerwise", as_wide(6), other)
    built("layerwise", as_wide(6), other, towers="text")


def test_a_tower_without_blocks_is_refused() -> None:
    empty = replace(as_wide(6), text=replace(as_wide(6).text, blocks=(GONE,)))
    with pytest.raises(UserError, match="no block is left in the text tower"):
        built("layerwise", empty, as_wide(6))
    built("layerwise", siglip_shape(), siglip_shape())
