"""A pre-LayerNorm transformer block and the stack of them.

Legend: B batch, N tokens, D embed, F ffn units.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..shapes import BlockShape, TowerShape
from .attention import Attention, Linear
from .gating import TowerGates, gate_columns, gate_rows, layer_norm


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI's approximation of GELU: x·σ(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "quick_gelu": quick_gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
}


def fill_normal(weight: Tensor, std: float, generator: torch.Generator) -> None:
    """Put normal noise in place of a weight."""
    weight.copy_(torch.randn(weight.shape, generator=generator) * std)


def scaled(update: Tensor, scale_D: Tensor | None) -> Tensor:
    """An update of the residual stream under LayerScale, where there is one."""
    return update if scale_D is None else update * scale_D


class Norm(nn.Module):
    """LayerNorm that takes an embed gate."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, embed_D: Tensor | None) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps, embed_D)


class Ffn(nn.Module):
    """The two-layer perceptron; a unit dies in the columns of the way down."""

    def __init__(self, width: int, units: int, activation: str) -> None:
        super().__init__()
        self.units = units
        self.activation = ACTIVATION[activation]
        self.up = Linear(width, units)
        self.down = Linear(units, width)

    def forward(
        self, x_BND: Tensor, embed_D: Tensor | None, ffn_F: Tensor | None
    ) -> Tensor:
        """The update of the residual stream, (B, N, D)."""
        bias_D = gate_rows(self.down.bias, embed_D)
        if self.units == 0:
            return bias_D.expand_as(x_BND)
        weight_DF = gate_columns(gate_rows(self.down.weight, embed_D), ffn_F)
        return F.linear(self.activation(self.up(x_BND)), weight_DF, bias_D)


class Block(nn.Module):
    """Attention, then the FFN, each behind a LayerNorm and added to the stream."""

    def __init__(self, tower: TowerShape, block: BlockShape, causal: bool) -> None:
        super().__init__()
        self.norm_1 = Norm(tower.width, tower.eps)
        self.attention = Attention(tower.width, block.heads, tower.head_width, causal)
        self.norm_2 = Norm(tower.width, tower.eps)
        self.ffn = Ffn(tower.width, block.ffn, tower.activation)
        self.scale_1: nn.Parameter | None = None
        self.scale_2: nn.Parameter | None = None
        if tower.layer_scale:
            self.scale_1 = nn.Parameter(torch.ones(tower.width))
            self.scale_2 = nn.Parameter(torch.ones(tower.width))

    def forward(
        self,
        x_BND: Tensor,
        embed_D: Tensor | None,
        heads_H: Tensor | None,
        ffn_F: Tensor | None,
    ) -> Tensor:
        seen_BND = self.attention(self.norm_1(x_BND, embed_D), embed_D, heads_H)
        x_BND = x_BND + scaled(seen_BND, self.scale_1)
        made_BND = self.ffn(self.norm_2(x_BND, embed_D), embed_D, ffn_F)
        return x_BND + scaled(made_BND, self.scale_2)

    def init_weights(self, depth: int, generator: torch.Generator) -> None:
        """Random matrices for a block of a stack of `depth`; biases stay 0."""
        attention, ffn = self.attention, self.ffn
        width = len(self.norm_1.weight)
        joined = width**-0.5 * (2 * depth) ** -0.5
        for layer in (attention.q, attention.k, attention.v):
            fill_normal(layer.weight, width**-0.5, generator)
        fill_normal(attention.out.weight, joined, generator)
        fill_normal(ffn.up.weight, (2 * width) ** -0.5, generator)
        fill_normal(ffn.down.weight, joined, generator)


class Stack(nn.ModuleList):
    """The blocks of one tower, in order."""

    def __init__(self, tower: TowerShape, causal: bool) -> None:
        super().__init__(Block(tower, block, causal) for block in tower.blocks)
        self.recompute = False  # gradient checkpointing: activations are made twice

    def init_weights(self, generator: torch.Generator) -> None:
        """Random weights for every block."""
        for block in self:
            assert isinstance(block, Block)
            block.init_weights(len(self), generator)

    def forward(self, x_BND: Tensor, gates: TowerGates) -> Tensor:
        for layer, block in enumerate(self):
            args = (x_BND, gates.embed_D, gates.heads(layer), gates.ffn(layer))
            if self.recompute and torch.is_grad_enabled():
                x_BND = checkpoint(block, *args, use_reentrant=False)
            else:
                x_BND = block(*args)
        return x_BND
