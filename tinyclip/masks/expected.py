"""The size that gates stand for: open probabilities put into the one cost function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .. import cost
from ..shapes import TOWERS, BlockShape, ClipShape, ImageShape, TowerShape
from .gate import open_probability
from .gates import Gates
from .sites import POOL, site_name, widths


def _expected_units(gates: Gates, tower: str, site: str) -> list[Tensor | int]:
    """The expected number of open units of each layer; the real one where not gated."""
    name = site_name(tower, site)
    units = widths(gates.shape.towers()[tower], site)
    if name not in gates.alpha:
        return list(units)
    # float64: sums are exact up to 2^53, and p equals the counted share at 0/1 gates
    probability_U = open_probability(gates.alpha[name].double())
    layers = torch.repeat_interleave(
        torch.arange(len(units)), torch.tensor(units, dtype=torch.long)
    ).to(probability_U.device)
    return list(probability_U.new_zeros(len(units)).index_add(0, layers, probability_U))


def expected_shape(gates: Gates) -> ClipShape:
    """The shape with expected widths, 0-dim float64 tensors, in place of counted ones.

    The sites are gated by independent noise, so the expectation of a product of widths
    is the product of these.
    """

    def tower(name: str, shape: TowerShape) -> TowerShape:
        heads, ffn = (_expected_units(gates, name, site) for site in ("heads", "ffn"))
        blocks = (BlockShape(heads=h, ffn=f) for h, f in zip(heads, ffn, strict=True))
        width = _expected_units(gates, name, "embed")[0]
        expected = replace(shape, width=width, blocks=tuple(blocks))
        if not isinstance(expected, ImageShape) or expected.pool_block is None:
            return expected
        heads, ffn = (_expected_units(gates, name, site) for site in POOL)
        return replace(expected, pool_block=BlockShape(heads=heads[0], ffn=ffn[0]))

    towers = gates.shape.towers()
    return gates.shape.with_towers(**{n: tower(n, s) for n, s in towers.items()})


def expected_size(
    gates: Gates, budget: str = "encoder", towers: Sequence[str] = TOWERS
) -> Tensor:
    """The expected size in a budget, 0-dim float64, differentiable in alpha.

    Args:
        towers: which of them count.
    """
    return cost.size(expected_shape(gates), budget, towers)
