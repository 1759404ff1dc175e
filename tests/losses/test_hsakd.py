"""Rotations as joint labels, against the formula in NumPy.

Legend: B batch, E joint embedding, F the teacher's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from formulas import softmax  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tinyclip.config.place import Place
from tinyclip.errors import UserError
from tinyclip.losses import products
from tinyclip.losses.objectives import settle, weighted
from tinyclip.model.clip import Features

SIZES = {
    "size": st.integers(2, 9),
    "width": st.integers(3, 17),
    "wide": st.integers(3, 17),
    "seed": st.integers(0, 2**32),
}


def drawn(seed: int, size: int, width: int, scale: float = 9.0) -> Features:
    draw = np.random.default_rng(seed)
    image, text, *rotated = (
        F.normalize(torch.from_numpy(draw.normal(size=(size, width))), dim=-1)
        for _ in range(5)
    )
    more = {"hsakd.rotated": torch.stack(rotated, dim=1)}
    return Features(image, text, torch.tensor(scale, dtype=torch.float64), more=more)


def built(width: int, wide: int, **options: Any) -> Any:
    (asked,) = settle({"hsakd": {"weight": 1.0, **options}}, Place(path="losses"))
    asked = asked.built(width, wide, seed=3)
    assert asked.module is not None
    asked.module.double()
    return asked


def numbers(side: Features, heads: Any) -> list[Any]:
    """Pictures (B, 4, E), captions (B, E), the scale, and the heads (4, E, E)."""
    pictures = torch.cat([side.image_BE[:, None], side.more["hsakd.rotated"]], 1)
    values = (pictures, side.text_BE, side.scale, heads.weight)
    return [value.detach().numpy() for value in values]


def logits(pictures: Any, captions: Any, scale: Any, heads: Any) -> Any:
    """(4B, 4B), one by one."""
    size = len(captions)
    found = np.zeros((size, 4, size, 4))
    for i, q, j, r in np.ndindex(found.shape):
        turned = heads[r] @ captions[j]
        found[i, q, j, r] = scale * pictures[i, q] @ turned / np.linalg.norm(turned)
    return found.reshape(4 * size, 4 * size)


def hsakd(mine: list[Any], theirs: list[Any], fixed: Any, labels: float = 1.0) -> float:
    """The loss; `fixed` is what the divergence takes for the teacher."""
    P, p = softmax(logits(*theirs)), softmax(logits(*mine))
    to, rows = softmax(logits(*fixed)), range(len(p))
    each = [
        -np.log(P[k, k])
        - labels * np.log(p[k, k])
        + (to[k] * np.log(to[k] / p[k])).sum()
        for k in rows
    ]
    return float(np.mean(each))


@settings(max_examples=20, deadline=None)
@given(**SIZES, labels=st.sampled_from([0.0, 1.0, 2.5]))
def test_hsakd_is_its_formula(
    size: int, width: int, wide: int, seed: int, labels: float
) -> None:
    asked = built(width, wide, labels=labels)
    mine, theirs = drawn(seed, size, width), drawn(seed + 1, size, wide, scale=14.0)
    ours = numbers(mine, asked.module.student), numbers(theirs, asked.module.teacher)
    loss, _ = weighted((asked,), mine, theirs)
    expected = hsakd(*ours, ours[1], labels)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=5, deadline=None)
@given(**SIZES)
def test_its_gradient_is_the_finite_difference(
    size: int, width: int, wide: int, seed: int
) -> None:
    """Of the student's features and scale and of both models' heads: the teacher's
    distribution stands still in the divergence."""
    asked = built(width, wide)
    mine, theirs = drawn(seed, size, width), drawn(seed + 1, size, wide)
    heads = asked.module.student.weight, asked.module.teacher.weight
    leaves = [mine.image_BE, mine.more["hsakd.rotated"], mine.text_BE, mine.scale]
    for leaf in leaves:
        leaf.requires_grad_()
    loss, _ = weighted((asked,), mine, theirs)
    gradients = torch.autograd.grad(loss, [*leaves, *heads])
    draw, step = np.random.default_rng(seed), 1e-6
    ways = [draw.normal(size=leaf.shape) for leaf in (*leaves, *heads)]
    ours = numbers(mine, asked.module.student), numbers(theirs, asked.module.teacher)
    pictures = np.concatenate([ways[0][:, None], ways[1]], axis=1)

    def moved(by: float) -> float:
        moves = (pictures, ways[2], ways[3], ways[4])
        there = [x + by * way for x, way in zip(ours[0], moves, strict=True)]
        others = [*ours[1][:3], ours[1][3] + by * ways[5]]
        return hsakd(there, others, ours[1])

    both = zip(gradients, ways, strict=True)
    slope = sum(float((g * torch.from_numpy(np.asarray(w))).sum()) for g, w in both)
    measured = (moved(step) - moved(-step)) / (2 * step)
    assert slope == pytest.approx(measured, rel=1e-4, abs=1e-6)


def test_the_divergence_is_nothing_for_the_teacher_itself_and_more_for_others() -> None:
    asked, mine, theirs = built(6, 6), drawn(5, 7, 6), drawn(6, 7, 6)
    asked.module.student.load_state_dict(asked.module.teacher.state_dict())
    same = weighted((asked,), theirs, theirs)[1]
    assert float(same["hsakd_kl"]) == pytest.approx(0, abs=1e-12)
    assert float(same["hsakd.labels"]) == float(same["hsakd.teacher"])
    assert float(weighted((asked,), mine, theirs)[1]["hsakd_kl"]) > 1e-3


def test_it_does_not_see_a_joint_rotation_of_the_student_and_its_heads() -> None:
    asked, mine, theirs = built(6, 6), drawn(5, 7, 6), drawn(6, 7, 6)
    before = weighted((asked,), mine, theirs)[0].detach()
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    rotated = {"hsakd.rotated": mine.more["hsakd.rotated"] @ turn}
    sides = mine.image_BE @ turn, mine.text_BE @ turn
    turned = replace(mine, image_BE=sides[0], text_BE=sides[1], more=rotated)
    with torch.no_grad():
        weight = asked.module.student.weight
        weight.copy_(turn.T @ weight @ turn)
    after = weighted((asked,), turned, theirs)[0].detach()
    torch.testing.assert_close(after, before)


def test_heads_start_near_the_identity_and_apart_from_each_other() -> None:
    heads = built(64, 64).module.student
    text = F.normalize(torch.randn(50, 64, dtype=torch.float64), dim=-1)
    turned = heads(text).view(50, 4, 64)
    near = (turned * text[:, None]).sum(-1)
    assert float(near.detach().min()) > 0.98
    between = turned @ turned.mT - torch.eye(4)
    assert float(between.detach().max()) < 1 - 1e-3
    other = built(64, 64).module.teacher
    assert not torch.equal(heads.weight, other.weight)


def test_blocks_of_rows_are_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, theirs = built(5, 7), drawn(1, 6, 7)

    def taken() -> list[torch.Tensor]:
        mine = drawn(0, 6, 5)
        leaves = [mine.image_BE, mine.more["hsakd.rotated"], mine.text_BE]
        for leaf in leaves:
            leaf.requires_grad_()
        loss, _ = weighted((asked,), mine, theirs)
        leaves += list(asked.module.parameters())
        return [loss.detach(), *torch.autograd.grad(loss, leaves)]

    whole = taken()
    monkeypatch.setattr(products, "NUMBERS", 5 * 24)
    for one, other in zip(whole, taken(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_without_labels_the_students_own_do_not_count() -> None:
    asked, mine, theirs = built(5, 7, labels=0.0), drawn(0, 6, 5), drawn(1, 6, 7)
    loss, parts = weighted((asked,), mine, theirs)
    expected = parts["hsakd.teacher"] + parts["hsakd_kl"]
    torch.testing.assert_close(loss.detach(), expected)


def test_a_negative_weight_of_labels_is_refused() -> None:
    with pytest.raises(UserError, match="labels: must be at least 0"):
        built(5, 7, labels=-1.0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_types_are_near_and_a_number_at_the_largest_scale(
    kind: torch.dtype,
) -> None:
    asked = built(16, 16)

    def cast(side: Features, to: torch.dtype, own: torch.dtype) -> Features:
        more = {"hsakd.rotated": side.more["hsakd.rotated"].to(to).to(own)}
        rows = side.image_BE.to(to).to(own), side.text_BE.to(to).to(own)
        return Features(*rows, torch.tensor(100.0, dtype=own), more=more)

    sides = drawn(8, 64, 16), drawn(9, 64, 16)
    exact = weighted((asked,), *(cast(x, kind, torch.float64) for x in sides))[0]
    asked.module.float()
    halves = [replace(cast(x, kind, kind), scale=torch.tensor(100.0)) for x in sides]
    with torch.autocast("cpu", dtype=kind):
        near = weighted((asked,), *halves)[0]
    assert near.dtype == torch.float32
    assert float(near.detach()) == pytest.approx(float(exact.detach()), rel=1e-2)
