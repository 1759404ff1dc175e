"""Hard pairs in the contrastive loss."""

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
from tinyclip.losses import products, weighted
from tinyclip.losses.contrastive import contrastive
from tinyclip.losses.needs import Hard
from tinyclip.losses.objectives import settle
from tinyclip.model.clip import Features

SIZES = {
    "size": st.integers(2, 9),
    "width": st.integers(3, 17),
    "joining": st.integers(1, 3),
    "seed": st.integers(0),
}
PARTS = ("images", "texts", "swapped")


def drawn(
    seed: int, size: int, width: int, joining: int, bias: float | None = None
) -> tuple[Features, Features]:
    """Some of what joins is missing, or in the batch already."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int) -> Tensor:
        made = torch.from_numpy(draw.normal(size=(*shape, width)))
        return F.normalize(made, dim=-1)

    counts = {"images": joining, "texts": joining, "swapped": 1 + joining}
    more = {f"negclip.{part}": normal(size, count) for part, count in counts.items()}
    own = None if bias is None else torch.tensor(bias).double()
    scale = torch.tensor(9.0).double()
    mine = Features(normal(size), normal(size), scale, own, more=more)
    rows = draw.permutation(2 * size)[:size, None]
    joined = draw.integers(-1, 2 * size, (size, joining))
    provided = {
        "negclip.rows": torch.from_numpy(np.concatenate([rows, joined], 1)),
        "negclip.swaps": torch.from_numpy(draw.integers(0, 2, (size, 1 + joining))),
    }
    return mine, replace(mine, more=provided)


def formula(mine: Features, theirs: Features) -> float:
    """Pair by pair, the others listed one by one."""
    more = {part: mine.more[f"negclip.{part}"].detach().numpy() for part in PARTS}
    rows, swaps = (theirs.more[f"negclip.{x}"].numpy() for x in ("rows", "swaps"))
    own_v, own_s = mine.image_BE.detach().numpy(), mine.text_BE.detach().numpy()
    pairs, negatives = [], []
    for i, j in np.ndindex(rows.shape):
        if rows[i, j] < 0:
            continue
        v = own_v[i] if j == 0 else more["images"][i, j - 1]
        s = own_s[i] if j == 0 else more["texts"][i, j - 1]
        pairs.append((rows[i, j], v, s))
        if swaps[i, j]:
            negatives.append(more["swapped"][i, j])
    a, total = float(mine.scale), 0.0
    for place, (row, v, s) in enumerate(pairs):
        others = [p for n, p in enumerate(pairs) if n != place and p[0] != row]
        texts = [s, *(other[2] for other in others), *negatives]
        images = [v, *(other[1] for other in others)]
        if mine.bias is not None:
            z = np.asarray([a * v @ x + float(mine.bias) for x in texts])
            z[1:] *= -1
            total += np.log1p(np.exp(-z)).sum()
            continue
        for one, columns in ((v, texts), (s, images)):
            z = np.asarray([a * one @ x for x in columns])
            total += (np.log(np.exp(z).sum()) - z[0]) / 2
    return float(total / len(pairs))


def value(mine: Features, theirs: Features) -> Any:
    return weighted({"negclip": 1.0}, mine, theirs)[0]


@pytest.mark.parametrize("bias", [None, -3.0])
@settings(max_examples=30, deadline=None)
@given(**SIZES)
def test_the_value_is_that_of_the_formula(
    bias: float | None, size: int, width: int, joining: int, seed: int
) -> None:
    mine, theirs = drawn(seed, size, width, joining, bias)
    assert float(value(mine, theirs)) == pytest.approx(formula(mine, theirs), rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(**SIZES)
def test_the_gradient_of_what_joins_is_that_of_finite_differences(
    size: int, width: int, joining: int, seed: int
) -> None:
    mine, theirs = drawn(seed, size, width, joining)
    leaves = {name: x.requires_grad_() for name, x in mine.more.items()}
    gradients = torch.autograd.grad(value(mine, theirs), list(leaves.values()))
    draw = torch.Generator().manual_seed(seed % 2**32)
    ways = [torch.randn(x.shape, generator=draw).double() for x in leaves.values()]
    slope = sum(float((g * way).sum()) for g, way in zip(gradients, ways, strict=True))
    found = []
    for by in (1e-6, -1e-6):
        there = zip(leaves.items(), ways, strict=True)
        more = {name: x.detach() + by * way for (name, x), way in there}
        found.append(formula(replace(mine, more=more), theirs))
    measured = (found[0] - found[1]) / 2e-6
    assert slope == pytest.approx(measured, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bias", [None, -3.0])
def test_where_nothing_joins_and_is_swapped_it_is_the_students_own_loss(
    bias: float | None,
) -> None:
    mine, theirs = drawn(1, 6, 5, 2, bias)
    theirs.more["negclip.rows"][:, 1:] = -1
    theirs.more["negclip.swaps"][:] = 0
    expected = float(contrastive(replace(mine, more={})))
    assert float(value(mine, theirs)) == pytest.approx(expected, rel=1e-12)


def test_a_swapped_caption_is_nothing_to_captions() -> None:
    mine, theirs = drawn(1, 6, 5, 1)
    parts = []
    for swaps in (0, 1):
        theirs.more["negclip.swaps"][:] = swaps
        parts.append(weighted({"negclip": 1.0}, mine, theirs)[1])
    assert parts[0]["negclip.text"] == parts[1]["negclip.text"]
    assert parts[0]["negclip.image"] < parts[1]["negclip.image"]
    assert [float(part["negclip.swapped"]) for part in parts] == [0, 1]


def test_a_pair_that_joins_twice_is_no_wrong_answer_to_itself() -> None:
    """All join the same pair: what it has is one right answer and the others' own."""
    mine, theirs = drawn(2, 4, 5, 1)
    theirs.more["negclip.swaps"][:] = 0
    theirs.more["negclip.rows"][:, 1] = theirs.more["negclip.rows"][0, 0]
    same = {part: mine.more[f"negclip.{part}"] for part in ("images", "texts")}
    for part, own in (("images", mine.image_BE), ("texts", mine.text_BE)):
        same[part][:] = own[0]
    alone = theirs.more["negclip.rows"].clone()
    alone[:, 1] = -1
    once = replace(theirs, more={**theirs.more, "negclip.rows": alone})
    logits = mine.scale * mine.image_BE @ mine.text_BE.T
    # the row of the pair that joined is as it was without
    whole = F.cross_entropy(logits, torch.arange(4), reduction="none")
    by_text = F.cross_entropy(logits.T, torch.arange(4), reduction="none")
    assert float(value(mine, once)) == pytest.approx(
        float((whole + by_text).mean() / 2)
    )
    assert float(value(mine, theirs)) == pytest.approx(formula(mine, theirs), rel=1e-9)


@pytest.mark.parametrize("bias", [None, -3.0])
def test_blocks_of_rows_are_the_batch(
    bias: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = drawn(3, 7, 6, 2, bias)
    whole = float(value(mine, theirs))
    monkeypatch.setattr(products, "NUMBERS", 60)
    assert float(value(mine, theirs)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_near_and_a_number_at_the_largest_scale(
    kind: torch.dtype,
) -> None:
    mine, theirs = drawn(8, 32, 16, 3)

    def like(dtype: torch.dtype) -> Features:
        rows = {name: x.to(kind).to(dtype) for name, x in mine.rows().items()}
        return replace(mine.with_rows(rows), scale=torch.tensor(100.0).double())

    exact = float(value(like(torch.float64), theirs))
    half = replace(like(kind), scale=torch.tensor(100.0))
    with torch.autocast("cpu", dtype=kind):
        near = value(half, theirs)
    assert near.dtype == torch.float32
    assert float(near) == pytest.approx(exact, rel=1e-2)


def test_what_it_encodes_is_counted() -> None:
    (asked,) = settle({"negclip": {"joining": 2}}, Place("x"))
    assert asked.need == Hard(joining=2, nearest=3, images=2.0, texts=5.0)
