"""The teacher's tokens as the student's rebuild them, against the formula in NumPy.

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
    SIZES,
    as_wide,
    built,
    evenly,
    tokens,
)
from towers import siglip_shape  # type: ignore[import-not-found]

from tinyclip.errors import UserError
from tinyclip.losses.tat import parts
from tinyclip.losses.tokens import Tokens
from tinyclip.shapes import ClipShape

COUNTS = {"image": 5, "text": 7}  # tokens of `as_wide`: two patches to a side


def fine(width: int) -> ClipShape:
    """Pictures in 4 x 4 patches."""
    shape = as_wide(width)
    return replace(shape, image=replace(shape.image, patch_size=2))


def weights(module: Any, tower: str) -> list[Any]:
    kinds = (module.gamma, module.theta, module.phi)
    return [kind[tower].weight.detach().numpy() for kind in kinds]


def places(tower: str, shape: Any, count: int) -> list[Any]:
    side = shape.towers()[tower]
    return list(parts(tower, side, count, "groups"))


@settings(max_examples=25, deadline=None)
@given(
    **SIZES,
    groups=st.integers(1, 2),
    anchors=st.integers(0, 2),
    tower=st.sampled_from(["image", "text"]),
    finer=st.booleans(),
)
def test_tat_is_its_formula(
    size: int,
    width: int,
    wide: int,
    seed: int,
    groups: int,
    anchors: int,
    tower: str,
    finer: bool,
) -> None:
    """With a teacher that cuts pictures into more patches, or as many."""
    shapes = as_wide(width), (fine if finer else as_wide)(wide)
    module = built("tat", *shapes, groups=groups, anchors=anchors)
    count = [shape.towers()[tower].tokens for shape in shapes]
    mine, theirs = (
        tokens(seed, size, count[0], width),
        tokens(seed + 1, size, count[1], wide),
    )
    mine, theirs = (Tokens({1: x.layers_BND[0]}) for x in (mine, theirs))
    lengths = None
    if tower == "text":
        lengths = np.random.default_rng(seed).integers(1, 8, size).tolist()
        counts = torch.arange(7) < torch.tensor(lengths)[:, None]
        mine, theirs = (replace(x, counts_BN=counts) for x in (mine, theirs))
    both, pools = (
        list(zip(*(places(tower, shape, n) for shape in shapes), strict=True))
        for n in (groups, max(1, anchors))
    )
    expected = formulas.tat(
        mine.layers_BND[1].numpy(),
        theirs.layers_BND[1].numpy(),
        *weights(module, tower),
        both,
        lengths,
        pools if anchors else None,
    )
    given_B = module.distance(tower, mine, theirs).detach().numpy()
    np.testing.assert_allclose(given_B, expected, rtol=1e-9)


@settings(max_examples=5, deadline=None)
@given(**SIZES, anchors=st.integers(0, 1))
def test_the_gradient_of_tat_is_the_finite_difference(
    size: int, width: int, wide: int, seed: int, anchors: int
) -> None:
    shapes = as_wide(width, 1), as_wide(wide, 1)
    module = built("tat", *shapes, towers="image", anchors=anchors)
    mine, theirs = tokens(seed, size, 5, width), tokens(seed + 1, size, 5, wide)
    x, H = mine.layers_BND[0].requires_grad_(), theirs.layers_BND[0].numpy()
    leaves = [
        x,
        *(kind["image"].weight for kind in (module.gamma, module.theta, module.phi)),
    ]
    loss = module.distance("image", mine, theirs).mean()
    gradients = torch.autograd.grad(loss, leaves)
    draw = np.random.default_rng(seed)
    ways = [draw.normal(size=leaf.shape) for leaf in leaves]
    at, step, all_ = [leaf.detach().numpy() for leaf in leaves], 1e-6, list(range(5))

    def moved(by: float) -> float:
        h, *three = (place + by * way for place, way in zip(at, ways, strict=True))
        pools = [(all_, all_)] if anchors else None
        found = formulas.tat(h, H, *three, [(all_, all_)], None, pools)
        return float(found.mean())

    pairs = zip(gradients, ways, strict=True)
    slope = sum(float((g * torch.from_numpy(way)).sum()) for g, way in pairs)
    measured = (moved(step) - moved(-step)) / (2 * step)
    assert slope == pytest.approx(measured, rel=1e-4, abs=1e-6)


def test_tat_nears_nothing_for_the_teacher_itself_as_the_softmax_sharpens() -> None:
    module, mine = built("tat", as_wide(16), as_wide(16)), tokens(0, 4, 5, 16, 2)
    even = evenly(mine, as_wide(16).image, torch.float64)
    found = []
    for _ in range(3):
        found.append(float(module.distance("image", even, even).detach().max()))
        with torch.no_grad():
            module.theta["image"].weight.mul_(10)
    assert found[0] > found[1] > found[2] and found[2] < 1e-9
    other = evenly(tokens(1, 4, 5, 16, 2), as_wide(16).image, torch.float64)
    assert float(module.distance("image", even, other).detach().min()) > 0.1


def test_tat_is_1_where_nothing_is_known() -> None:
    module = built("tat", as_wide(6), as_wide(30))
    torch.nn.init.zeros_(module.phi["image"].weight)
    theirs = evenly(tokens(1, 4, 5, 30, 2), as_wide(30).image, torch.float64)
    given_B = module.distance("image", tokens(0, 4, 5, 6, 2), theirs)
    torch.testing.assert_close(given_B, torch.ones(4).double(), rtol=0, atol=1e-4)


def test_which_of_the_students_tokens_is_which_does_not_matter_but_in_groups() -> None:
    mine, theirs = tokens(0, 4, 5, 6, 2), tokens(1, 4, 5, 8, 2)
    mixed = Tokens({n: x[:, [4, 2, 0, 3, 1]] for n, x in mine.layers_BND.items()})
    for groups, alike in ((1, True), (2, False)):
        module = built("tat", as_wide(6), as_wide(8), groups=groups)
        one, other = (module.distance("image", x, theirs) for x in (mine, mixed))
        assert torch.allclose(one, other) == alike


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("anchors", [0, 3])
def test_what_a_caption_has_after_its_end_does_not_matter(
    groups: int, anchors: int
) -> None:
    """A caption of one token leaves groups and anchors without any."""
    options = {"towers": "text", "groups": groups, "anchors": anchors}
    module = built("tat", as_wide(6), as_wide(8), **options)
    lengths = torch.tensor([1, 7, 3])
    counts = torch.arange(7) < lengths[:, None]
    sides = [
        replace(tokens(seed, 3, 7, wide, 2), counts_BN=counts)
        for seed, wide in ((0, 6), (1, 8))
    ]
    x = sides[0].layers_BND[1].requires_grad_()
    found = module.distance("text", *sides)
    noisy = [
        replace(
            side,
            layers_BND={
                n: torch.where(counts[..., None], x, 99.0)
                for n, x in side.layers_BND.items()
            },
        )
        for side in sides
    ]
    torch.testing.assert_close(module.distance("text", *noisy), found)
    (slope,) = torch.autograd.grad(found.sum(), x)
    assert slope.isfinite().all() and (slope[~counts] == 0).all()
    assert (slope[counts] != 0).any()


@given(count=st.integers(1, 8), side=st.sampled_from([8, 11, 24]), first=st.booleans())
def test_parts_of_a_picture_are_boxes_and_every_token_is_in_one(
    count: int, side: int, first: bool
) -> None:
    image = replace(
        as_wide(6).image, image_size=side, patch_size=1, class_token=first, pool="mean"
    )
    found = parts("image", image, count, "groups")
    assert sorted(n for part in found for n in part) == list(range(image.tokens))
    if count == 1:
        return
    boxes = found[1:] if first else found
    assert len(boxes) == count**2
    assert not first or found[0] == [0]
    for box in boxes:
        rows, columns = zip(*(divmod(n - first, side) for n in box), strict=True)
        assert len(box) == (max(rows) - min(rows) + 1) * (
            max(columns) - min(columns) + 1
        )
        assert len({*rows}) >= side // count and len({*columns}) >= side // count


def test_parts_of_a_caption_are_runs() -> None:
    found = parts("text", as_wide(6).text, 3, "groups")
    assert found == [[0, 1], [2, 3], [4, 5, 6]]


@pytest.mark.parametrize("option", ["groups", "anchors"])
def test_more_parts_than_tokens_are_refused(option: str) -> None:
    told = rf"losses.tat: asks for 3 {option}, and the image tower has 2 tokens"
    with pytest.raises(UserError, match=told):
        built("tat", as_wide(6), fine(6), **{option: 3})


def test_the_layer_is_counted_from_the_end() -> None:
    for layer, pair in ((1, (2, 5)), (2, (1, 3)), (9, (0, 1))):
        module = built("tat", as_wide(6, 3), as_wide(6, 6), layer=layer)
        assert module.layers == {"image": (pair,), "text": (pair,)}


def test_towers_of_siglip_have_no_class_token() -> None:
    shape = siglip_shape()
    module = built("tat", shape, shape, groups=2)
    mine = tokens(0, 3, 4, 12, 2)
    assert module.distance("image", mine, tokens(1, 3, 4, 12, 2)).shape == (3,)
