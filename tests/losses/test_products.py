"""A large batch is looked at in blocks of rows, and nothing changes but the memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from beside import beside  # type: ignore[import-not-found]
from torch.nn import functional as F

from tinyclip.losses import objectives, products, weighted
from tinyclip.model.clip import Features

NAMES = [n for n in objectives if not isinstance(objectives.get(n, ""), type)]
ALONE = ("feature", "fd", "ickd", "mfd")  # they look at each pair, or at channels


def drawn(seed: int, size: int = 11, bias: float | None = None) -> Features:
    draw = np.random.default_rng(seed)
    rows = [
        F.normalize(torch.from_numpy(draw.normal(size=(size, 5))), dim=-1)
        for _ in range(2)
    ]
    scale = torch.tensor(9.0, dtype=torch.float64)
    return Features(*rows, scale, None if bias is None else torch.tensor(bias).double())


def taken(name: str, bias: float | None) -> list[torch.Tensor]:
    """An objective's value, and its gradients."""
    mine, theirs = drawn(0, bias=bias), drawn(1, bias=bias)
    leaves = [mine.image_BE, mine.text_BE, mine.scale]
    for leaf in leaves:
        leaf.requires_grad_()
    loss, _ = weighted({name: 1.0}, *beside(name, mine, theirs))
    given = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [loss.detach(), *(g for g in given if g is not None)]


@pytest.mark.parametrize("bias", [None, -3.0])
@pytest.mark.parametrize("name", NAMES)
def test_blocks_of_rows_are_the_batch(
    name: str, bias: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = taken(name, bias)
    monkeypatch.setattr(products, "NUMBERS", 4 * 11)  # blocks of 4, 4 and 3 rows
    blocks = taken(name, bias)
    assert len(whole) == len(blocks)
    for one, other in zip(whole, blocks, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ALONE])
def test_no_more_than_a_block_is_ever_made(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    block = products.Products.block

    def watched(self: Any, part: slice) -> torch.Tensor:
        rows = block(self, part)
        sizes.append(rows.numel())
        return rows

    monkeypatch.setattr(products, "NUMBERS", 4 * 11)
    monkeypatch.setattr(products.Products, "block", watched)
    taken(name, None)
    assert max(sizes) == 4 * 11


def test_small_batches_make_their_products_once() -> None:
    mine = drawn(0)
    image, text = products.both_ways(mine)
    assert image.whole_BC is not None and text.whole_BC is not None
    assert image.whole_BC.data_ptr() == text.whole_BC.data_ptr()


def test_the_bias_is_added_where_it_is_asked_for() -> None:
    mine = replace(drawn(0), bias=torch.tensor(-2.0, dtype=torch.float64))
    plain, biased = products.both_ways(mine)[0], products.both_ways(mine, True)[0]
    everything = slice(None)
    torch.testing.assert_close(biased.block(everything), plain.block(everything) - 2)
