"""Bags of pictures that are alike."""

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

from tinyclip.losses import products, weighted
from tinyclip.model.clip import Features

ROWS = 14
SIZES = {
    "size": st.integers(2, 9),
    "width": st.integers(3, 17),
    "near": st.integers(1, 4),
    "seed": st.integers(0),
}


def drawn(seed: int, size: int, width: int, near: int) -> tuple[Features, Features]:
    """A batch of some of `ROWS` pictures, bags among all of them, some too small."""
    draw = np.random.default_rng(seed)
    pictures = normal(draw, ROWS, width)
    rows = draw.choice(ROWS, size, replace=False)
    bags = np.stack([draw.permutation(np.delete(np.arange(ROWS), r)) for r in rows])
    bags = np.concatenate([rows[:, None], bags[:, :near]], 1)
    bags[0, -1] = -1
    theirs = Features(
        pictures[rows], normal(draw, size, width), torch.tensor(14.0).double()
    )
    own = normal(draw, size, width), normal(draw, size, width)
    mine = Features(*own, torch.tensor(9.0).double())
    return mine, provided(theirs, bags, pictures)


def normal(draw: Any, size: int, width: int) -> Tensor:
    return F.normalize(torch.from_numpy(draw.normal(size=(size, width))), dim=-1)


def provided(theirs: Features, bags: Any, pictures: Tensor) -> Features:
    near = torch.from_numpy(bags[:, 1:])
    features = pictures[near.clamp(min=0)] * (near >= 0)[..., None]
    more = {"bingo.rows": torch.from_numpy(bags), "bingo.features": features}
    return replace(theirs, more=more)


def formula(mine: Features, theirs: Features) -> float:
    """Pictures by their row, one column each; loops."""
    bags = theirs.more["bingo.rows"].tolist()
    columns: dict[int, Any] = {}
    for i, bag in enumerate(bags):
        columns[bag[0]] = theirs.image_BE[i].numpy()
        for k, row in enumerate(bag[1:]):
            if row >= 0:
                columns.setdefault(row, theirs.more["bingo.features"][i, k].numpy())
    total = 0.0
    for i, bag in enumerate(bags):
        v = mine.image_BE[i].detach().numpy()
        z = {row: float(mine.scale) * v @ column for row, column in columns.items()}
        whole = np.log(sum(np.exp(x) for x in z.values()))
        near = [whole - z[row] for row in bag[1:] if row >= 0]
        total += whole - z[bag[0]] + (np.mean(near) if near else 0.0)
    return float(total / len(bags))


def value(mine: Features, theirs: Features) -> Any:
    return weighted({"bingo": 1.0}, mine, theirs)[0]


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_the_value_is_that_of_the_formula(
    size: int, width: int, near: int, seed: int
) -> None:
    mine, theirs = drawn(seed, size, width, near)
    assert float(value(mine, theirs)) == pytest.approx(formula(mine, theirs), rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(**SIZES)
def test_the_gradient_is_that_of_finite_differences(
    size: int, width: int, near: int, seed: int
) -> None:
    mine, theirs = drawn(seed, size, width, near)
    way = torch.from_numpy(np.random.default_rng(seed).normal(size=(size, width)))
    mine.image_BE.requires_grad_()
    slope = torch.autograd.grad(value(mine, theirs), mine.image_BE)[0]
    at = mine.image_BE.detach()
    found = [
        formula(replace(mine, image_BE=at + by * way), theirs) for by in (1e-6, -1e-6)
    ]
    measured = (found[0] - found[1]) / 2e-6
    assert float((slope * way).sum()) == pytest.approx(measured, rel=1e-4, abs=1e-6)


def test_where_all_of_a_bag_are_one_picture_the_floor_is_that_of_their_number() -> None:
    """Bags of 3 equal pictures, each unlike the others: chance among the three."""
    pictures = torch.eye(4).double().repeat_interleave(3, 0)
    bags = np.asarray([[0, 1, 2], [3, 4, 5], [8, 6, 7]])
    rows = pictures[bags[:, 0]]
    theirs = provided(Features(rows, rows, torch.tensor(100.0)), bags, pictures)
    found = value(Features(rows, rows, torch.tensor(100.0).double()), theirs)
    assert float(found) == pytest.approx(2 * np.log(3), rel=1e-12)


def test_a_picture_of_the_batch_is_one_column_however_many_bags_have_it() -> None:
    mine, theirs = drawn(0, 4, 6, 1)
    rows = theirs.more["bingo.rows"][:, 0].numpy()
    pictures = torch.zeros(ROWS, 6).double()
    pictures[rows] = theirs.image_BE
    bags = np.stack([rows, rows[[1, 0, 3, 2]]], 1)
    found = value(mine, provided(theirs, bags, pictures))
    logits = mine.scale * mine.image_BE @ theirs.image_BE.T
    chances = logits.log_softmax(-1)
    expected = -(chances.diag() + chances[torch.arange(4), [1, 0, 3, 2]]).mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_a_picture_alone_in_its_bag_is_pulled_to_itself() -> None:
    mine, theirs = drawn(0, 5, 6, 2)
    theirs.more["bingo.rows"][:, 1:] = -1
    logits = mine.scale * mine.image_BE @ theirs.image_BE.T
    expected = F.cross_entropy(logits, torch.arange(5))
    assert float(value(mine, theirs)) == pytest.approx(float(expected), rel=1e-12)


def test_blocks_of_rows_are_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = drawn(3, 9, 6, 3)
    whole = float(value(mine, theirs))
    monkeypatch.setattr(products, "NUMBERS", 30)
    assert float(value(mine, theirs)) == pytest.approx(whole, rel=1e-12)
