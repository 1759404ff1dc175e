"""A pre-norm transformer block and the stack of them.

Legend: B batch, N tokens, D embed, F ffn units.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..shapes import BlockShape, TowerShape
from .attention import Attention, Linear
from .gating import BlockGates, TowerGates, gate_columns, gate_rows, joined
from .norm import Norm, RmsNorm, norm_of

# is given the number of a block and the stream after it, (B, N, D)
Watch: TypeAlias = Callable[[int, Tensor], None]


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


class Ffn(nn.Module):
    """The two-layer perceptron; a unit dies in the columns of the way down."""

    def __init__(self, width: int, units: int, activation: str) -> None:
        super().__init__()
        self.units = units
        self.activation = ACTIVATION[activation]
        self.up = Linear(width, units)
        self.down = Linear(units, width)

    def forward(self, x_BND: Tensor, out_D: Tensor | None, gates: BlockGates) -> Tensor:
        """The update of the residual stream, (B, N, D); the rest as `Attention`."""
        bias_D = gate_rows(self.down.bias, out_D)
        if self.units == 0:
            return bias_D.expand_as(x_BND)
        weight_DF = gate_columns(gate_rows(self.down.weight, out_D), gates.get("ffn"))
        return F.linear(self.activation(self.up(x_BND)), weight_DF, bias_D)


class Block(nn.Module):
    """Attention, then the FFN, each behind a norm and added to the stream; a layer
    that the shape lacks has no parameters and adds nothing."""

    def __init__(self, tower: TowerShape, block: BlockShape, causal: bool) -> None:
        super().__init__()
        width = tower.width
        self.norm_1: Norm | RmsNorm | None = None
        self.attention: Attention | None = None
        if block.attention_layers:
            self.norm_1 = norm_of(tower)
            self.attention = Attention(tower, block, causal)
        self.norm_2: Norm | RmsNorm | None = None
        self.ffn: Ffn | None = None
        if block.ffn_layers:
            self.norm_2 = norm_of(tower)
            self.ffn = Ffn(width, block.ffn, tower.activation)
        self.scale_1 = _scale(width, tower.layer_scale and self.attention is not None)
        self.scale_2 = _scale(width, tower.layer_scale and self.ffn is not None)

    def forward(
        self, x_BND: Tensor, embed_D: Tensor | None, gates: BlockGates
    ) -> Tensor:
        if self.attention is not None and self.norm_1 is not None:
            out_D = joined(embed_D, gates.get("attention_layers"))
            update_BND = self.attention(self.norm_1(x_BND, embed_D), out_D, gates)
            x_BND = x_BND + scaled(update_BND, self.scale_1)
        if self.ffn is not None and self.norm_2 is not None:
            out_D = joined(embed_D, gates.get("ffn_layers"))
            update_BND = self.ffn(self.norm_2(x_BND, embed_D), out_D, gates)
            x_BND = x_BND + scaled(update_BND, self.scale_2)
        return x_BND

    def init_weights(self, depth: int, generator: torch.Generator) -> None:
        """Random matrices for a block of a stack of `depth`; biases stay 0."""
        attention, ffn = self.attention, self.ffn
        if attention is not None:
            width = attention.q.in_features
            for layer in (attention.q, attention.k, attention.v):
                fill_normal(layer.weight, width**-0.5, generator)
            std = width**-0.5 * (2 * depth) ** -0.5
            fill_normal(attention.out.weight, std, generator)
        if ffn is not None:
            width = ffn.up.in_features
            std = width**-0.5 * (2 * depth) ** -0.5
            fill_normal(ffn.up.weight, (2 * width) ** -0.5, generator)
            fill_normal(ffn.down.weight, std, generator)


def _scale(width: int, present: bool) -> nn.Parameter | None:
    return nn.Parameter(torch.ones(width)) if present else None


class Stack(nn.ModuleList):
    """The blocks of one tower, in order."""

    def __init__(self, tower: TowerShape, causal: bool) -> None:
        super().__init__(Block(tower, block, causal) for block in tower.blocks)
        self.recompute = False  # gradient checkpointing: activations are made twice
        self.watches: list[Watch] = []  # once a block, recomputed or not

    def init_weights(self, generator: torch.Generator) -> None:
        """Random weights for every block."""
        for block in self:
            assert isinstance(block, Block)
            block.init_weights(len(self), generator)

    def forward(self, x_BND: Tensor, gates: TowerGates) -> Tensor:
        for layer, block in enumerate(self):
            args = (x_BND, gates.embed_D, gates.block(layer))
            if self.recompute and torch.is_grad_enabled():
                x_BND = checkpoint(block, *args, use_reentrant=False)
            else:
                x_BND = block(*args)
            for watch in self.watches:
                watch(layer, x_BND)
        return x_BND
