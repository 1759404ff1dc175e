"""A rotated model is the same function, whatever family it is of (SliceGPT, §3)."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from towers import (  # type: ignore[import-not-found]
    DRAWN,
    Pairs,
    gaps,
    noisy,
    plain_shape,
    shapes,
    siglip_shape,
    some_pairs,
)

from tinyclip import cost
from tinyclip.inherit.rotate import rotate
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.model.clip import Clip
from tinyclip.model.norm import Norm, RmsNorm
from tinyclip.model.text import TextTower
from tinyclip.model.vision import ImageTower
from tinyclip.shapes import ClipShape, shape_from_dict, shape_to_dict

DOUBLE = torch.float64
FAMILIES = {"clip": plain_shape(), "siglip": siglip_shape()}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Clip:
    return noisy(FAMILIES[request.param], dtype=DOUBLE)


@DRAWN
@given(shape=shapes(), seed=st.integers(0, 99), count=st.sampled_from([1, 2, 9]))
def test_it_is_the_same_function_in_float64(
    shape: ClipShape, seed: int, count: int
) -> None:
    model = noisy(shape, seed, DOUBLE)
    turned = rotate(model, [some_pairs(count, seed, DOUBLE)]).model
    fresh = some_pairs(6, seed + 1, DOUBLE)  # pairs that it was not told
    assert max(gaps(model, turned, fresh)) <= 1e-10


@DRAWN
@given(shape=shapes(), seed=st.integers(0, 99))
def test_it_is_the_same_function_in_float32(shape: ClipShape, seed: int) -> None:
    model = noisy(shape, seed)
    turned = rotate(model, [some_pairs(16, seed)]).model
    assert turned.text.position.dtype == torch.float32
    assert max(gaps(model, turned, some_pairs(6, seed + 1))) <= 1e-5


@DRAWN
@given(shape=shapes(), seed=st.integers(0, 99))
def test_turned_twice_it_is_the_same_function(shape: ClipShape, seed: int) -> None:
    model = noisy(shape, seed, DOUBLE)
    once = rotate(model, [some_pairs(4, seed, DOUBLE)]).model
    twice = rotate(once, [some_pairs(9, seed + 1, DOUBLE)]).model
    assert twice.shape == once.shape
    assert max(gaps(model, twice, some_pairs(6, seed + 2, DOUBLE))) <= 1e-10


@DRAWN
@given(shape=shapes())
def test_the_shape_says_what_is_stored(shape: ClipShape) -> None:
    turned = rotate(noisy(shape), [some_pairs(3)]).model
    assert shape_from_dict(shape_to_dict(turned.shape)) == turned.shape
    assert turned.image.shape == turned.shape.image
    stored = sum(value.numel() for value in turned.parameters())
    assert cost.size(turned.shape, "total") == stored
    for name, tower in turned.shape.towers().items():
        before = shape.towers()[name]
        assert (tower.width, tower.full_width) == (before.width - 1, before.width)
        assert tower.norm == "rms" and not tower.layer_scale


def test_its_norms_have_no_weight_left_to_apply(model: Clip) -> None:
    turned = rotate(model, [some_pairs(9, dtype=DOUBLE)]).model
    for module in turned.modules():
        if isinstance(module, RmsNorm):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
    # of LayerNorm only what stands before the stem, or inside the pool, is left
    layer = [name for name, m in turned.named_modules() if isinstance(m, Norm)]
    assert layer in (["image.norm_pre"], ["image.pool.norm"])


def test_what_stands_before_the_stem_and_beside_the_pool_is_left_alone() -> None:
    clip, siglip = noisy(FAMILIES["clip"]), noisy(FAMILIES["siglip"])
    rotated = [rotate(m, [some_pairs(9)]).model.state_dict() for m in (clip, siglip)]
    before = [m.state_dict() for m in (clip, siglip)]
    names = ["patch", "class_embedding", "position", "norm_pre.weight", "norm_pre.bias"]
    for name in (f"image.{name}" for name in names):
        assert torch.equal(rotated[0][name], before[0][name])
    for name, value in before[1].items():
        inside = name.startswith(("image.pool.attention.k", "image.pool.attention.v"))
        if name.startswith("image.pool.") and not inside:
            assert torch.equal(rotated[1][name], value), name


def test_the_model_is_left_as_it_was(model: Clip) -> None:
    before = copy.deepcopy(model.train().state_dict())
    turned = rotate(model, [some_pairs(9, dtype=DOUBLE)]).model
    assert model.training and turned.training
    assert all(torch.equal(v, before[name]) for name, v in model.state_dict().items())


def test_by_variance_alone_directions_come_in_the_order_of_what_they_hold(
    model: Clip,
) -> None:
    turned = rotate(model, [some_pairs(64, dtype=DOUBLE)], variance=1)
    for name, shape in model.shape.towers().items():
        held = turned.spectra[name]
        assert held.shape == (shape.width - 1,)
        assert float(held.sum()) == pytest.approx(1)
        assert (held.diff() <= 0).all() and (held >= 0).all()


def counted(tower: ImageTower | TextTower, pairs: Pairs) -> Tensor:
    """The tokens that are ever read: of a causal text, those up to its end."""
    if isinstance(tower, TextTower):
        end_B1 = pairs.tokens_BT.argmax(1)[:, None]
        every = torch.arange(pairs.tokens_BT.shape[1]) <= end_B1
        return every if tower.shape.causal else torch.ones_like(every)
    return torch.ones(len(pairs.pixels), tower.shape.tokens, dtype=torch.bool)


def read_by_norms(tower: ImageTower | TextTower, pairs: Pairs) -> Tensor:
    """What hooks on the whole model see: each direction's share of all that is read."""
    seen: list[Tensor] = []

    def reads(_module: nn.Module, _args: object, out: Tensor) -> None:
        rows = out if out.ndim == 2 else out[counted(tower, pairs)]
        seen.append(rows.square().mean(0))

    norms = [module for module in tower.modules() if isinstance(module, RmsNorm)]
    hooks = [norm.register_forward_hook(reads) for norm in norms]
    tower(pairs.tokens_BT if isinstance(tower, TextTower) else pairs.pixels)
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(norms)
    held = torch.stack(seen).sum(0)
    return held / held.sum()


def test_a_spectrum_is_what_the_norms_of_the_turned_model_read(model: Clip) -> None:
    pairs = some_pairs(64, dtype=DOUBLE)
    turned = rotate(model, [pairs])
    for name, held in turned.spectra.items():
        expected = read_by_norms(getattr(turned.model, name), pairs)
        torch.testing.assert_close(held, expected, rtol=0, atol=1e-9)


def test_no_other_basis_holds_more_in_its_first_directions() -> None:
    """The first half of the directions holds more than any half of the channels."""
    model = noisy(plain_shape(), by=0.5)
    spectra = rotate(model, [some_pairs(64)], variance=1).spectra
    assert all(float(held[: len(held) // 2].sum()) > 0.7 for held in spectra.values())


@torch.no_grad()
def test_moments_of_few_tokens_leave_directions_that_hold_nothing(model: Clip) -> None:
    """One caption of two tokens that no block changes: two directions of nine."""
    for block in model.text.blocks:
        for layer in (block.attention.out, block.ffn.down):
            layer.weight.zero_()
            layer.bias.zero_()
    one = some_pairs(1, dtype=DOUBLE)
    ids = torch.tensor([[3, 39, 0, 0, 0, 0, 0]])
    model.text.position[2:] = model.text.position[1]  # where none ends its text, too
    turned = rotate(model, [Pairs(one.pixels, ids)], variance=1)
    held = turned.spectra["text"]
    assert (held[:2] > 0.01).all() and held[3:].max() < 1e-12
    assert max(gaps(model, turned.model, some_pairs(6, 2, DOUBLE))) <= 1e-10


def test_parts_are_the_pairs_they_are_of(model: Clip) -> None:
    whole = some_pairs(24, dtype=DOUBLE)
    rows = [torch.arange(start, start + 8) for start in (0, 8, 16)]
    parts = [Pairs(whole.pixels[row], whole.tokens_BT[row]) for row in rows]
    one, many = rotate(model, [whole]), rotate(model, parts)
    for name, held in one.spectra.items():
        assert torch.allclose(held, many.spectra[name], rtol=1e-9)


def test_without_pairs_there_is_no_basis(model: Clip) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        rotate(model, [])


def test_a_rotated_student_turns_on_exactly(model: Clip) -> None:
    """Cut before it turns again: fewer directions, dims and units, a layer empty."""
    turned = rotate(model, [some_pairs(32, dtype=DOUBLE)]).model

    def cut(width: int, dims: int) -> TowerKeep:
        def first(count: int, total: int) -> Keep:
            return Keep(tuple(range(count)), total)

        return TowerKeep(
            {
                "embed": (first(8, width),),
                "dims": (first(2, dims), first(0, dims)),
                "ffn": (first(0, 12), first(7, 12)),
            },
            Keep.everything(2),
        )

    student = inherit(turned, ClipKeep(image=cut(11, 5), text=cut(9, 4)))
    again = rotate(student, [some_pairs(32, 1, DOUBLE)]).model
    assert again.shape == student.shape
    assert max(gaps(student, again, some_pairs(9, 2, DOUBLE))) <= 1e-10
