"""The asymmetric loss against its formula, and which captions fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tinyclip.config.place import Place
from tinyclip.errors import UserError
from tinyclip.losses import products
from tinyclip.losses.objectives import Weighted, settle, weighted
from tinyclip.model.clip import Features

SIZES = {"size": st.integers(2, 9), "width": st.integers(3, 17), "seed": st.integers(0)}
OPTIONS = {
    "positive": st.floats(0, 4),
    "negative": st.floats(0, 4),
    "shift": st.floats(0, 0.9),
}


def drawn(seed: int, size: int, width: int, bias: float | None = None) -> Features:
    draw = np.random.default_rng(seed)
    rows = [
        F.normalize(torch.from_numpy(draw.normal(size=(size, width))), dim=-1)
        for _ in range(2)
    ]
    own = None if bias is None else torch.tensor(bias, dtype=torch.float64)
    return Features(*rows, torch.tensor(9.0, dtype=torch.float64), own)


def fitting(seed: int, size: int) -> tuple[dict[str, Tensor], np.ndarray[Any, Any]]:
    """What is provided of made-up pairs, and the same as labels (B, B)."""
    draw = np.random.default_rng(seed)
    shown = draw.integers(0, 6, size)
    others = [set(draw.integers(0, 6, 2).tolist()) | {int(s)} for s in shown]
    classes = draw.integers(-1, 3, size)  # -1: none
    numbers = np.full((size, 3), -1)
    for row, texts in enumerate(others):
        numbers[row, : len(texts)] = sorted(texts)
    fits = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            same = classes[i] == classes[j] != -1
            fits[i, j] = i == j or shown[j] in others[i] or same
    parts = {"fitting": numbers, "caption": shown, "label": classes}
    return {f"asl.{part}": torch.from_numpy(x) for part, x in parts.items()}, fits


def built(**options: Any) -> Weighted:
    (asked,) = settle({"asl": {"weight": 1.0, **options}}, Place(path="losses"))
    one = asked.built(4, 4, seed=0)
    assert one.module is not None
    one.module.double()
    return one


def value(one: Weighted, mine: Features, more: dict[str, Tensor]) -> Any:
    return weighted((one,), mine, replace(mine, more=more))[0]


def plain(one: Weighted, mine: Features, more: dict[str, Tensor]) -> float:
    return float(value(one, mine, more).detach())


def scaled(one: Weighted, mine: Features) -> Tensor:
    """The logits of one that learns its scale and bias."""
    scale, bias = (x.detach() for x in one.module.parameters())  # type: ignore[union-attr]
    return scale.exp() * mine.image_BE @ mine.text_BE.T + bias


def formula(
    logits: Any, fits: Any, positive: float, negative: float, shift: float
) -> float:
    total = 0.0
    for z, y in zip(logits.ravel(), fits.ravel(), strict=True):
        p = 1 / (1 + np.exp(-z))
        q = max(p - shift, 0.0)
        yes = (1 - p) ** positive * np.log(p)
        no = q**negative * np.log(1 - q) if q else 0.0
        total -= yes if y else no
    return float(total / len(logits))


@settings(max_examples=40, deadline=None)
@given(**SIZES, **OPTIONS)
def test_the_value_is_that_of_the_formula(
    size: int, width: int, seed: int, **options: float
) -> None:
    mine, (more, fits) = drawn(seed, size, width), fitting(seed, size)
    one = built(**options)
    expected = formula(scaled(one, mine).numpy(), fits, **options)
    assert plain(one, mine, more) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_student_with_a_bias_has_its_own_scale_and_bias() -> None:
    mine, (more, fits) = drawn(0, 6, 5, bias=-4.0), fitting(0, 6)
    logits = 9 * mine.image_BE @ mine.text_BE.T - 4
    expected = formula(logits.numpy(), fits, 0.0, 4.0, 0.05)
    assert plain(built(), mine, more) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(**SIZES, **OPTIONS)
def test_the_gradient_is_that_of_finite_differences(
    size: int, width: int, seed: int, **options: float
) -> None:
    """Of the features and of the scale and bias that it learns."""
    mine, (more, _) = drawn(seed, size, width), fitting(seed, size)
    one = built(**options)
    assert one.module is not None
    with torch.no_grad():  # where neither answer is certain
        for parameter, start in zip(one.module.parameters(), (1.0, -0.5), strict=True):
            parameter.fill_(start)
    leaves = [mine.image_BE, mine.text_BE, *one.module.parameters()]
    for leaf in leaves[:2]:
        leaf.requires_grad_()
    given_ = torch.autograd.grad(value(one, mine, more), leaves)
    draw = torch.Generator().manual_seed(seed % 2**32)
    ways = [torch.randn(x.shape, generator=draw, dtype=x.dtype) for x in leaves]
    slope = sum(float((g * way).sum()) for g, way in zip(given_, ways, strict=True))
    found = []
    with torch.no_grad():
        for by in (1e-6, -2e-6):
            for leaf, way in zip(leaves, ways, strict=True):
                leaf += by * way
            found.append(plain(one, mine, more))
    measured = (found[0] - found[1]) / 2e-6
    # where q begins the gradient of a small power is steep
    assert slope == pytest.approx(measured, rel=1e-3, abs=1e-4)


def test_without_focus_and_shift_it_is_binary_cross_entropy() -> None:
    mine, (more, fits) = drawn(2, 7, 5), fitting(2, 7)
    one, wanted = built(positive=0, negative=0, shift=0), torch.from_numpy(fits)
    logits = scaled(one, mine)
    cross = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    expected = float(cross.sum(-1).mean())
    assert plain(one, mine, more) == pytest.approx(expected, rel=1e-12)


def test_answers_that_are_right_and_certain_cost_nothing() -> None:
    rows = torch.eye(4, dtype=torch.float64)
    mine = Features(rows, rows, torch.tensor(90.0), torch.tensor(-45.0))
    numbers = torch.arange(4)
    more = {"asl.fitting": numbers[:, None], "asl.caption": numbers}
    more["asl.label"] = torch.full((4,), -1)
    assert plain(built(), mine, more) == pytest.approx(0, abs=1e-15)
    other = replace(mine, text_BE=rows.flip(0))
    assert plain(built(), other, more) > 40


def test_captions_that_do_not_fit_count_only_over_the_shift() -> None:
    mine, (more, _) = drawn(1, 6, 5), fitting(1, 6)
    one = built(positive=0.0, shift=0.9)
    none = {name: torch.full_like(x, -1) for name, x in more.items()}
    none["asl.caption"] = torch.arange(6)  # nothing fits but what stands beside
    own = -F.logsigmoid(scaled(one, mine).diag()).mean()
    assert plain(one, mine, none) == pytest.approx(float(own), rel=1e-9)


def test_blocks_of_rows_are_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken() -> list[Tensor]:
        mine, (more, _) = drawn(0, 11, 5), fitting(0, 11)
        one = built()
        assert one.module is not None
        leaves = [mine.image_BE.requires_grad_(), *one.module.parameters()]
        loss = value(one, mine, more)
        return [loss.detach(), *torch.autograd.grad(loss, leaves)]

    whole = taken()
    monkeypatch.setattr(products, "NUMBERS", 4 * 11)
    for one, other in zip(whole, taken(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("focus", [0.0, 0.5, 4.0])
def test_half_precision_is_near_and_a_number_at_the_largest_scale(
    kind: torch.dtype, focus: float
) -> None:
    mine, (more, _) = drawn(8, 64, 16), fitting(8, 64)
    rows = [x.to(kind).requires_grad_() for x in (mine.image_BE, mine.text_BE)]
    half = Features(*rows, torch.tensor(100.0), torch.tensor(0.0))
    exact = Features(*(x.double() for x in (*rows, half.scale, half.bias)))
    for shift in (0.0, 1e-9, 0.05):
        one = built(positive=focus, negative=focus, shift=shift)
        with torch.autocast("cpu", dtype=kind):
            near = value(one, half, more)
        wanted = float(value(one, exact, more).detach())
        assert float(near.detach()) == pytest.approx(wanted, rel=1e-2)
        gradients = torch.autograd.grad(near, rows)
        assert all(bool(g.isfinite().all()) for g in gradients)


def test_options_out_of_bounds_are_refused() -> None:
    with pytest.raises(UserError, match="shift: must be less than 1"):
        built(shift=1.0)
    with pytest.raises(UserError, match=r"losses\.asl: unknown key 'gamma'"):
        built(gamma=1.0)
