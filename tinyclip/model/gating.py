"""Gate values as the forward pass takes them: plain tensors, one a unit.

Legend: D embed, H heads, F ffn units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from ..sites import KEYS

BlockGates: TypeAlias = Mapping[str, Tensor]  # by site; one not named is as it is


@dataclass(frozen=True)
class TowerGates:
    """How open every unit of one tower is, in [0, 1].

    Args:
        units: by the site's name inside a tower: one vector a block, or the only one. A
            site that is not named stays as it is.
    """

    units: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def __getitem__(self, key: str) -> tuple[Tensor, ...]:
        return self.units[key]

    @property
    def embed_D(self) -> Tensor | None:
        """Of the residual channels."""
        return self.units["embed"][0] if "embed" in self.units else None

    def block(self, layer: int, part: str = "") -> BlockGates:
        """Those of one block, by site."""
        return {
            KEYS[key].site.name: vectors[layer]
            for key, vectors in self.units.items()
            if KEYS[key].part == part and KEYS[key].site.in_block
        }


@dataclass(frozen=True)
class ClipGates:
    """The gates of both towers; None leaves a tower as it is."""

    image: TowerGates | None = None
    text: TowerGates | None = None


GatesLike: TypeAlias = "ClipGates | Callable[[], ClipGates] | None"


def resolve(gates: GatesLike) -> ClipGates:
    """The values behind what a caller passed: a module is asked for a fresh sample."""
    if gates is None:
        return ClipGates()
    return gates if isinstance(gates, ClipGates) else gates()


def joined(*gates: Tensor | None) -> Tensor | None:
    """The product of gates that rule the same rows; None where there is none."""
    product = None
    for gate in gates:
        if gate is not None:
            product = gate if product is None else product * gate
    return product


def gate_rows(weight: Tensor, gate: Tensor | None) -> Tensor:
    """Scale the first dimension of a weight or bias by its units' gates."""
    if gate is None:
        return weight
    return weight * gate.view(-1, *(1,) * (weight.ndim - 1))


def gate_columns(weight: Tensor, gate: Tensor | None, repeat: int = 1) -> Tensor:
    """Scale the last dimension; each gate rules `repeat` neighbouring columns."""
    if gate is None:
        return weight
    return weight * gate.repeat_interleave(repeat)
