"""What features feel of a stream, against Jacobians of the whole tower."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from towers import (  # type: ignore[import-not-found]
    Pairs,
    noisy,
    plain_shape,
    siglip_shape,
    some_pairs,
)

from tinyclip.inherit import sensitivity as module
from tinyclip.inherit.rotate import alone
from tinyclip.inherit.sensitivity import sensitivity
from tinyclip.inherit.turn import last_norm
from tinyclip.model.clip import Clip
from tinyclip.model.norm import Norm
from tinyclip.model.text import TextTower

DOUBLE = torch.float64
SHAPES = {"clip": plain_shape(), "siglip": siglip_shape()}


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> Clip:
    model: Clip = noisy(SHAPES[request.param], dtype=DOUBLE)
    return model.requires_grad_(False)


def by_jacobians(model: Clip, name: str, pairs: Pairs) -> Tensor:
    """Every norm's output moved by an offset of its own, and the derivative by that."""
    tower = getattr(model, name)
    last = last_norm(tower)
    norms = [n for block in tower.blocks for n in (block.norm_1, block.norm_2)] + [last]
    inputs = pairs.pixels if name == "image" else pairs.tokens_BT
    encode = model.encode_image if name == "image" else model.encode_text
    total = torch.zeros(tower.shape.width, tower.shape.width, dtype=DOUBLE)
    for norm in norms:
        for one in inputs.split(1):
            total += of_one(norm, one, encode)
    return total


def of_one(norm: Norm, one: Tensor, encode: nn.Module) -> Tensor:
    given: list[Tensor] = []
    handle = norm.register_forward_hook(lambda _m, _i, out: given.append(out.detach()))
    encode(one)
    handle.remove()

    def moved(offset: Tensor) -> Tensor:
        handle = norm.register_forward_hook(lambda _m, _i, out: out + offset)
        feature: Tensor = encode(one, normalize=True)
        handle.remove()
        return feature[0]

    zero = torch.zeros_like(given[0])
    jacobian = torch.autograd.functional.jacobian(moved, zero)
    by_token = (jacobian * norm.weight).flatten(1, -2)  # (E, N, D)
    return torch.einsum("end,enf->df", by_token, by_token).detach()


@pytest.mark.parametrize("name", ["image", "text"])
def test_it_is_the_sum_of_squared_jacobians(
    model: Clip, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBES", 300)
    pairs = some_pairs(3, dtype=DOUBLE)
    found = sensitivity(model, name, [pairs], alone) / 300
    expected = by_jacobians(model, name, pairs)
    assert float((found - expected).norm() / expected.norm()) < 0.15
    assert float(found.trace()) == pytest.approx(float(expected.trace()), rel=0.1)


@pytest.mark.parametrize("name", ["image", "text"])
def test_parts_are_the_pairs_they_are_of(model: Clip, name: str) -> None:
    whole = some_pairs(9, dtype=DOUBLE)
    parts = [
        Pairs(whole.pixels[i:j], whole.tokens_BT[i:j]) for i, j in ((0, 4), (4, 9))
    ]
    one, many = (sensitivity(model, name, x, alone) for x in ([whole], parts))
    torch.testing.assert_close(one, many, rtol=1e-9, atol=1e-12)


def test_the_model_gets_no_gradients_and_keeps_no_hooks(model: Clip) -> None:
    before = copy.deepcopy(model.state_dict())
    model.requires_grad_(True)
    with torch.no_grad():
        sensitivity(model, "image", [some_pairs(4, dtype=DOUBLE)], alone)
    assert all(value.grad is None for value in model.parameters())
    assert all(torch.equal(v, before[name]) for name, v in model.state_dict().items())
    assert not any(part._forward_hooks for part in model.modules())


def test_frozen_parameters_do_not_matter(model: Clip) -> None:
    pairs = [some_pairs(4, dtype=DOUBLE)]
    open_, frozen = (
        sensitivity(model.requires_grad_(flag), "text", pairs, alone)
        for flag in (True, False)
    )
    assert torch.equal(open_, frozen)


def test_no_more_pairs_are_run_than_tell_a_moment(
    model: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of every part, a process its share of them."""
    tokens = model.shape.image.tokens
    monkeypatch.setattr(module, "LEAST", 4 * tokens)
    monkeypatch.setattr(module, "ROWS", 0)
    parts = [some_pairs(8, seed, DOUBLE) for seed in (0, 1)]
    first = [Pairs(p.pixels[:2], p.tokens_BT[:2]) for p in parts]
    many, few = (sensitivity(model, "image", x, alone) for x in (parts, first))
    assert torch.equal(many, few)


def test_nothing_is_run_behind_the_end_of_the_longest_caption(
    model: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """... in a causal tower; in another every token is read."""
    pairs = some_pairs(5, dtype=DOUBLE)
    lengths: list[int] = []
    start = type(model.text).start

    def watched(tower: TextTower, tokens_BT: Tensor, *rest: Any) -> Tensor:
        lengths.append(tokens_BT.shape[1])
        return start(tower, tokens_BT, *rest)

    monkeypatch.setattr(TextTower, "start", watched)
    sensitivity(model, "text", [pairs], alone)
    longest = int(pairs.tokens_BT.argmax(1).max()) + 1
    whole = model.shape.text.context_length
    assert lengths == [longest if model.shape.text.causal else whole]
