"""Gate values as the forward pass takes them: plain tensors, one a unit.

Legend: D embed, H heads, F ffn units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class TowerGates:
    """How open every unit of one tower is, in [0, 1]; None leaves a site as it is.

    Args:
        embed_D: residual channels.
        heads_H, ffn_F: one vector a block.
        pool_heads_H, pool_ffn_F: of an attention pool.
    """

    embed_D: Tensor | None = None
    heads_H: tuple[Tensor, ...] | None = None
    ffn_F: tuple[Tensor, ...] | None = None
    pool_heads_H: Tensor | None = None
    pool_ffn_F: Tensor | None = None

    def heads(self, layer: int) -> Tensor | None:
        return None if self.heads_H is None else self.heads_H[layer]

    def ffn(self, layer: int) -> Tensor | None:
        return None if self.ffn_F is None else self.ffn_F[layer]


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


def layer_norm(
    x: Tensor, weight_D: Tensor, bias_D: Tensor, eps: float, gate_D: Tensor | None
) -> Tensor:
    """LayerNorm whose statistics see the open channels only.

    Under a gate the mean and the variance are taken over the open channels in two
    passes, in float32 whatever autocast says, and weight and bias are scaled by the
    gate: a closed channel leaves as 0, and the sliced LayerNorm is the same function.
    """
    if gate_D is None:
        return F.layer_norm(x, weight_D.shape, weight_D, bias_D, eps)
    with torch.autocast(x.device.type, enabled=False):
        open_D = (gate_D > 0).to(torch.promote_types(x.dtype, torch.float32))
        # no channel open at all would divide by zero; everything leaves as 0 then
        share_D = open_D / open_D.sum().clamp(min=1)
        wide = x.to(open_D.dtype)
        # one-pass E[x²]-m² loses 5e-5 where mean/std is 10: two passes
        centred = (wide - (wide @ share_D).unsqueeze(-1)) * open_D
        variance = (centred.square() @ share_D).unsqueeze(-1)
        scaled = centred * torch.rsqrt(variance + eps)
        return scaled * (weight_D * gate_D) + bias_D * gate_D
