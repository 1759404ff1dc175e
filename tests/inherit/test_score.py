"""Importance against plain sums in NumPy float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tinyclip.errors import UserError
from tinyclip.inherit.score import (
    hessian_scores,
    importance,
    magnitude_scores,
    taylor_scores,
)
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape

Pair = tuple[Tensor, Tensor]


def batches(count: int = 2) -> list[Pair]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(4, 3, 16, 16, generator=generator),
            torch.randint(0, 50, (4, 8), generator=generator),
        )
        for _ in range(count)
    ]


def loss(model: Clip, batch: Pair) -> Tensor:
    features = model(*batch)
    return (features.image_BE @ features.text_BE.T).square().sum()


def expected(
    model: Clip, amount: Callable[[Tensor], np.ndarray]
) -> dict[str, np.ndarray]:
    """Sums over the matrices that a unit owns, layer by layer."""
    scores = {}
    for name in ("image", "text"):
        tower, head_width = getattr(model, name), getattr(model.shape, name).head_width
        heads, places, ffn, embed = [], [], [], 0.0
        for block in tower.blocks:
            a, f = block.attention, block.ffn
            dims = sum(amount(m.weight).sum(1) for m in (a.q, a.k, a.v))
            dims = dims + amount(a.out.weight).sum(0)
            heads.append(dims.reshape(-1, head_width).sum(1))
            places.append(dims.reshape(-1, head_width).sum(0))
            ffn.append(amount(f.up.weight).sum(1) + amount(f.down.weight).sum(0))
            embed = embed + sum(amount(m.weight).sum(0) for m in (a.q, a.k, a.v, f.up))
            embed = embed + amount(a.out.weight).sum(1) + amount(f.down.weight).sum(1)
        scores[f"{name}_heads"] = np.concatenate(heads)
        scores[f"{name}_dims"] = np.concatenate(places)
        scores[f"{name}_ffn"] = np.concatenate(ffn)
        scores[f"{name}_embed"] = embed
        # a layer owns all of its matrices
        scores[f"{name}_attention_layers"] = np.array([part.sum() for part in heads])
        scores[f"{name}_ffn_layers"] = np.array([part.sum() for part in ffn])
    return scores


def check(scores: dict[str, Tensor], reference: dict[str, np.ndarray]) -> None:
    assert set(scores) == set(reference)
    for name, value in reference.items():
        np.testing.assert_allclose(scores[name].numpy(), value, rtol=2e-5)


def test_magnitude_is_the_sum_of_squares_of_what_a_unit_owns(pico_clip: Clip) -> None:
    reference = expected(pico_clip, lambda w: w.detach().double().numpy() ** 2)
    check(magnitude_scores(pico_clip), reference)


def test_taylor_is_the_sum_of_weight_times_gradient(pico_clip: Clip) -> None:
    scores = taylor_scores(pico_clip, batches(), loss)
    sum(loss(pico_clip, batch) for batch in batches()).backward()
    reference = expected(
        pico_clip,
        lambda w: np.abs(w.detach().double().numpy() * w.grad.double().numpy()),
    )
    check(scores, reference)


def test_hessian_is_the_weight_squared_times_the_mean_squared_gradient(
    pico_clip: Clip,
) -> None:
    pairs = batches(3)
    scores = hessian_scores(pico_clip, (loss(pico_clip, pair) for pair in pairs))
    squares: dict[int, np.ndarray] = {}
    for pair in pairs:
        pico_clip.zero_grad()
        loss(pico_clip, pair).backward()
        for p in pico_clip.parameters():
            if p.grad is not None:
                square = p.grad.double().numpy() ** 2
                squares[id(p)] = squares.get(id(p), 0) + square / len(pairs)
    check(
        scores,
        expected(
            pico_clip, lambda w: w.detach().double().numpy() ** 2 * squares[id(w)]
        ),
    )


def test_hessian_without_pairs_is_refused(pico_clip: Clip) -> None:
    with pytest.raises(UserError, match="at least one pair"):
        hessian_scores(pico_clip, [])


def test_layers_of_a_site_compare_by_their_own_size(pico_clip: Clip) -> None:
    before = magnitude_scores(pico_clip)["image_ffn"]
    with torch.no_grad():
        pico_clip.image.blocks[1].ffn.up.weight *= 10
        pico_clip.image.blocks[1].ffn.down.weight *= 10
    after = magnitude_scores(pico_clip)["image_ffn"]
    torch.testing.assert_close(after[:32], before[:32])
    torch.testing.assert_close(after[32:], 100 * before[32:])


def test_taylor_leaves_gradients_as_they_were(pico_clip: Clip) -> None:
    pico_clip.logit_scale.grad = torch.tensor(5.0)
    taylor_scores(pico_clip, batches(1), loss)
    grads = {n: p.grad for n, p in pico_clip.named_parameters() if p.grad is not None}
    assert grads == {"logit_scale": torch.tensor(5.0)}


def test_dead_layers_own_nothing(pico_clip: Clip) -> None:
    shape = pico_clip.shape
    blocks = (BlockShape(heads=0, ffn=8), BlockShape(heads=2, ffn=0))
    model = Clip(shape.with_towers(image=replace(shape.image, blocks=blocks)))
    model.init_weights(0)
    scores = magnitude_scores(model)
    assert len(scores["image_heads"]) == 2
    assert len(scores["image_ffn"]) == 8
    assert scores["image_embed"].min() > 0


def test_a_block_without_both_layers_owns_nothing(pico_clip: Clip) -> None:
    image = pico_clip.shape.image
    bare = BlockShape(heads=0, ffn=0, attention_layers=0, ffn_layers=0)
    image = replace(image, blocks=(bare, *image.blocks[1:]))
    model = Clip(pico_clip.shape.with_towers(image=image)).init_weights(0)
    scores = magnitude_scores(model)
    assert len(scores["image_heads"]) == sum(block.heads for block in image.blocks)
    assert len(scores["image_attention_layers"]) == len(image.blocks) - 1


def test_taylor_without_pairs_is_refused(pico_clip: Clip) -> None:
    with pytest.raises(UserError, match="at least one batch"):
        taylor_scores(pico_clip, [], loss)


def test_an_unknown_importance_is_named_with_its_neighbour(pico_clip: Clip) -> None:
    with pytest.raises(UserError, match="Did you mean 'taylor'"):
        importance(pico_clip, "tailor")
