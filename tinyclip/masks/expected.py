"""The size that gates stand for: open probabilities put into the one cost function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import cost
from ..shapes import TOWERS, ClipShape
from ..sites import GROUPS, Group, resized, units_of
from .gate import open_probability
from .gates import Gates

Units = list[Any]  # of every block: ints, or 0-dim tensors


def _open_units(gates: Gates, group: Group) -> Units:
    """The expected number of open units of each block; the real one where not gated."""
    units = units_of(gates.shape.towers()[group.tower], group.key)
    if group.name not in gates.alpha:
        return list(units)
    # float64: sums are exact up to 2^53, and p equals the counted share at 0/1 gates
    probability_U = open_probability(gates.alpha[group.name].double())
    layers = torch.repeat_interleave(
        torch.arange(len(units)), torch.tensor(units, dtype=torch.long)
    ).to(probability_U.device)
    return list(probability_U.new_zeros(len(units)).index_add(0, layers, probability_U))


def expected_shape(gates: Gates) -> ClipShape:
    """The shape with expected widths, 0-dim float64 tensors, in place of counted ones.

    The sites are gated by independent noise, so the expectation of a product of widths
    is the product of these; so is that of the units of a layer that may go.
    """
    expected: dict[str, dict[str, Units]] = {name: {} for name in TOWERS}
    for name, group in GROUPS.items():
        layer = group.layer
        goes = layer is not None and layer.name in gates.alpha
        if name not in gates.alpha and not goes:
            continue
        units = _open_units(gates, group)
        if layer is not None and goes:
            pairs = zip(units, _open_units(gates, layer), strict=True)
            units = [count * open_layers for count, open_layers in pairs]
        expected[group.tower][group.key] = units
    towers = gates.shape.towers()
    return gates.shape.with_towers(
        **{name: resized(towers[name], units) for name, units in expected.items()}
    )


def expected_size(
    gates: Gates, budget: str = "encoder", towers: Sequence[str] = TOWERS
) -> Tensor:
    """The expected size in a budget, 0-dim float64, differentiable in alpha.

    Args:
        towers: which of them count.
    """
    return cost.size(expected_shape(gates), budget, towers)
