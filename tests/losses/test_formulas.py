"""Every objective that looks at features alone, against its formula in NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from beside import beside  # type: ignore[import-not-found]
from formulas import (  # type: ignore[import-not-found]
    FORMULAS,
    Side,
    contrastive,
    pulls,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tinyclip.config.place import Place
from tinyclip.errors import UserError
from tinyclip.losses.objectives import settle, weighted
from tinyclip.model.clip import Features

NAMES = sorted(FORMULAS)
SIZES = {"size": st.integers(3, 9), "width": st.integers(3, 17), "seed": st.integers(0)}
# those that say how far the student is from its teacher: 0 when it is the same
DISTANCES = ["crd", "dist", "fd", "feature", "gd", "ickd", "intra", "mfd"]


def drawn(seed: int, size: int, width: int, scale: float = 9.0) -> Features:
    draw = np.random.default_rng(seed)
    image, text = (
        F.normalize(torch.from_numpy(draw.normal(size=(size, width))), dim=-1)
        for _ in range(2)
    )
    return Features(image, text, torch.tensor(scale, dtype=torch.float64))


def both(seed: int, size: int, width: int) -> tuple[Features, Features]:
    return drawn(seed, size, width), drawn(seed + 1, size, width, scale=14.0)


def side(features: Features) -> Side:
    rows = features.image_BE.detach().numpy(), features.text_BE.detach().numpy()
    return Side(*rows, float(features.scale))


def value(name: str, mine: Features, theirs: Features, **options: Any) -> Any:
    asked = {name: {"weight": 1.0, **options}}
    return weighted(asked, *beside(name, mine, theirs))[0]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_the_value_is_that_of_the_formula(
    name: str, size: int, width: int, seed: int
) -> None:
    mine, theirs = both(seed, size, width)
    expected = FORMULAS[name](side(mine), side(theirs))
    assert float(value(name, mine, theirs)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kd", {"temperature": 0.5, "teacher": 3.0}),
        ("kd", {"divergence": "reverse"}),
        ("dist", {"inter": 0.0, "intra": 2.0}),
        ("mfi", {"others": 0.1}),
    ],
)
def test_options_are_those_of_the_formula(name: str, options: dict[str, Any]) -> None:
    mine, theirs = both(3, 6, 8)
    expected = FORMULAS[name](side(mine), side(theirs), **options)
    assert float(value(name, mine, theirs, **options)) == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None)
@given(**SIZES)
def test_the_gradient_is_that_of_finite_differences(
    name: str, size: int, width: int, seed: int
) -> None:
    """Along one direction, of features that need not be normalised, and the scale."""
    mine, theirs = both(seed, size, width)
    draw = np.random.default_rng(seed + 2)
    v, s = (draw.normal(size=(size, width)) for _ in range(2))
    a, step = draw.normal(), 1e-6

    at = side(mine)

    def moved(by: float) -> float:
        there = Side(at.v + by * v, at.s + by * s, at.a + by * a)
        return float(FORMULAS[name](there, side(theirs)))

    leaves = [x.requires_grad_() for x in (mine.image_BE, mine.text_BE, mine.scale)]
    gradients = torch.autograd.grad(
        value(name, Features(*leaves), theirs), leaves, allow_unused=True
    )
    along = zip(gradients, (torch.from_numpy(v), torch.from_numpy(s), a), strict=True)
    slope = sum(float((g * way).sum()) for g, way in along if g is not None)
    measured = (moved(step) - moved(-step)) / (2 * step)
    assert slope == pytest.approx(measured, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", DISTANCES)
def test_it_is_nothing_for_the_teacher_itself_and_more_for_others(name: str) -> None:
    mine, theirs = both(5, 7, 6)
    assert float(value(name, theirs, theirs)) == pytest.approx(0, abs=1e-12)
    assert float(value(name, mine, theirs)) > 1e-3


def test_the_divergence_of_kd_is_nothing_for_the_teacher_itself() -> None:
    mine, theirs = both(5, 7, 6)
    assert abs(float(weighted({"kd": 1.0}, theirs, theirs)[1]["kd_kl"])) < 1e-12
    assert float(weighted({"kd": 1.0}, mine, theirs)[1]["kd_kl"]) > 1e-3


def test_gd_compares_the_gradients_that_autograd_gives() -> None:
    """The reference of the reference: the contrastive loss itself, moved a little."""
    at, step = side(drawn(1, 4, 3)), 1e-6
    for which, pull in zip(("v", "s"), pulls(at), strict=True):
        for place in np.ndindex(pull.shape):
            moved = []
            for by in (step, -step):
                rows = getattr(at, which).copy()
                rows[place] += by
                moved.append(contrastive(replace(at, **{which: rows})))
            measured = len(at.v) * (moved[0] - moved[1]) / (2 * step)
            assert pull[place] == pytest.approx(measured, abs=1e-6)


def test_dist_does_not_see_an_affine_change_of_the_logits() -> None:
    """The scale is one; a channel that is 1 in all adds a constant to each product."""
    mine, theirs = both(2, 6, 5)
    ones = torch.full((6, 1), 0.7, dtype=torch.float64)
    shifted = replace(
        mine,
        image_BE=torch.cat([mine.image_BE, ones], 1),
        text_BE=torch.cat([mine.text_BE, ones], 1),
        scale=3 * mine.scale,
    )
    same = value("dist", mine, theirs), value("dist", shifted, theirs)
    assert float(same[0]) == pytest.approx(float(same[1]), rel=1e-12)


def turned(features: Features) -> Features:
    """Both modalities by one rotation."""
    draw = np.random.default_rng(0).normal(size=(features.image_BE.shape[1],) * 2)
    turn_EE = torch.linalg.qr(torch.from_numpy(draw)).Q
    image_BE, text_BE = features.image_BE @ turn_EE, features.text_BE @ turn_EE
    return replace(features, image_BE=image_BE, text_BE=text_BE)


@pytest.mark.parametrize("name", ["affinity", "crd", "kd", "dist", "intra"])
def test_relations_do_not_see_a_joint_rotation(name: str) -> None:
    mine, theirs = both(4, 6, 5)
    before, after = value(name, mine, theirs), value(name, turned(mine), theirs)
    assert float(before) == pytest.approx(float(after), rel=1e-10)


@pytest.mark.parametrize("name", ["fd", "icl", "ickd", "gd"])
def test_what_compares_embeddings_sees_a_rotation(name: str) -> None:
    mine, theirs = both(4, 6, 5)
    before, after = value(name, mine, theirs), value(name, turned(mine), theirs)
    assert abs(float(before - after)) > 1e-3


@pytest.mark.parametrize("name", ["bingo", "feature", "fd", "mfd", "icl", "ickd", "gd"])
def test_a_student_of_some_channels_is_compared_with_those(name: str) -> None:
    theirs, kept = drawn(1, 6, 8), torch.tensor([0, 2, 3, 7])
    rows = [F.normalize(x[:, kept], dim=-1) for x in (theirs.image_BE, theirs.text_BE)]
    narrow = Features(*rows, theirs.scale)
    mine = replace(drawn(0, 6, 4), channels_E=kept)
    alone = replace(mine, channels_E=None)
    assert torch.equal(value(name, mine, theirs), value(name, alone, narrow))


@pytest.mark.parametrize("name", ["bingo", "feature", "fd", "mfd", "icl", "ickd", "gd"])
def test_another_width_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"^losses\.{name}: the student embeds in 4"):
        value(name, drawn(0, 5, 4), drawn(1, 5, 6))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", [*NAMES, "affinity", "contrastive"])
def test_half_precision_is_near_and_a_number_at_the_largest_scale(
    name: str, kind: torch.dtype
) -> None:
    """Features as the towers give them under autocast, and autocast still on."""
    halves = [
        Features(x.image_BE.to(kind), x.text_BE.to(kind), torch.tensor(100.0))
        for x in both(8, 64, 16)
    ]
    exact = value(name, *(_like(x, torch.float64) for x in halves))
    with torch.autocast("cpu", dtype=kind):
        near = value(name, *halves)
    assert near.dtype == torch.float32
    assert float(near) == pytest.approx(float(exact), rel=1e-2, abs=1e-2)


def _like(features: Features, kind: torch.dtype) -> Features:
    rows = features.image_BE.to(kind), features.text_BE.to(kind)
    return Features(*rows, features.scale.to(kind))


def test_fusion_layers_give_the_contrastive_loss_of_what_they_fuse() -> None:
    mine, theirs = drawn(0, 5, 4), drawn(1, 5, 6)
    (asked,) = settle({"afd": 1.0}, Place(path="losses"))
    built = asked.built(4, 6, seed=0)
    assert built.module is not None and built.loss is not None
    weights = dict(built.module.double().named_parameters())
    assert {n: tuple(p.shape) for n, p in weights.items()} == {
        "image.weight": (4, 10),
        "text.weight": (4, 10),
    }

    def fused(part: str, one: torch.Tensor, other: torch.Tensor) -> Any:
        weight = weights[f"{part}.weight"].detach().numpy()
        rows = np.concatenate([one.numpy(), other.numpy()], 1) @ weight.T
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    at = Side(
        fused("image", mine.image_BE, theirs.image_BE),
        fused("text", mine.text_BE, theirs.text_BE),
        float(mine.scale),
    )
    loss, _ = built.loss(mine, theirs)
    assert float(loss.detach()) == pytest.approx(contrastive(at), rel=1e-9)
