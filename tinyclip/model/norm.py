"""The norms of a tower, under an embed gate.

Legend: D embed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import TowerShape
from .gating import gate_rows


class Norm(nn.Module):
    """LayerNorm that takes an embed gate."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, embed_D: Tensor | None) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps, embed_D)


class RmsNorm(nn.Module):
    """The norm of a rotated tower: its stream over the root of its mean square.

    The mean counts the channels of the tower before it was rotated, those that are gone
    as zeros. So a direction that closes changes nothing but itself: what is left keeps
    its scale (LayerNorm is the same function, its mean taken away: Ashkboos et al.
    2024, "SliceGPT", §3.2), and a gate needs no statistics of its own.

    Args:
        full_width: of the tower before it was rotated.
    """

    def __init__(self, width: int, eps: float, full_width: int) -> None:
        super().__init__()
        self.eps, self.full_width = eps, full_width
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, embed_D: Tensor | None) -> Tensor:
        """x / √(Σx² / full width + eps) under the weight; sums in float32 at least."""
        with torch.autocast(x.device.type, enabled=False):
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            weight_D = gate_rows(self.weight, embed_D)
            return (over_rms(wide, self.eps, self.full_width) * weight_D).to(x.dtype)


def over_rms(x: Tensor, eps: float, full_width: int) -> Tensor:
    """x over the root of its mean square, as `RmsNorm` counts that."""
    mean = x.square().sum(-1, keepdim=True) / full_width
    return x * torch.rsqrt(mean + eps)


def evened(x_BND: Tensor, tower: TowerShape, gate_D: Tensor | None = None) -> Tensor:
    """The stream as its blocks read it, before the weights of their norms.

    Tokens of length √D, in float32 at least.
    """
    with torch.autocast(x_BND.device.type, enabled=False):
        wide = x_BND.to(torch.promote_types(x_BND.dtype, torch.float32))
        if tower.full_width is not None:
            return over_rms(wide, tower.eps, tower.full_width)
        ones_D = wide.new_ones(tower.width)
        return layer_norm(wide, ones_D, torch.zeros_like(ones_D), tower.eps, gate_D)


def norm_of(tower: TowerShape) -> Norm | RmsNorm:
    """The norm that reads the stream of a tower."""
    if tower.full_width is None:
        return Norm(tower.width, tower.eps)
    return RmsNorm(tower.width, tower.eps, tower.full_width)


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
