"""The attention pool of SigLIP: one learned query asks all patches.

Legend: B batch, N tokens, D embed, H heads, K head width, I = H·K,
F ffn units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import BlockShape, ImageShape
from .attention import Attention
from .block import Ffn, fill_normal
from .gating import BlockGates, TowerGates, gate_rows
from .norm import Norm


class CrossAttention(Attention):
    """The projections of self-attention, with one query for the whole picture."""

    def ask(
        self,
        query_D: Tensor,
        x_BND: Tensor,
        embed_D: Tensor | None,
        gates: BlockGates,
    ) -> Tensor:
        """What the query gathers from the tokens, (B, D)."""
        bias_D = gate_rows(self.out.bias, embed_D)
        if self.out.in_features == 0:
            return bias_D.expand(x_BND.shape[0], -1)
        query_11I = self._query(query_D.view(1, 1, -1), gates)
        q = self._split(query_11I).expand(x_BND.shape[0], -1, -1, -1)
        k, v = self._split(self.k(x_BND)), self._split(self.v(x_BND))
        context_BH1K = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        weight_DI = self._gated_out(embed_D, gates)
        return F.linear(context_BH1K.flatten(1), weight_DI, bias_D)


class AttentionPool(nn.Module):
    """A learned query, attention, and an FFN behind a LayerNorm (Zhai et al. 2022,
    "Scaling Vision Transformers", §3.1, as SigLIP uses it).

    In a rotated tower its keys and values read the basis; its own stream, which is the
    joint embedding, stays as it was.
    """

    def __init__(self, tower: ImageShape, block: BlockShape) -> None:
        super().__init__()
        width, self.apart = tower.pool_width, tower.rotated
        self.latent = nn.Parameter(torch.zeros(width))
        self.attention = CrossAttention(tower, block, asking=width)
        self.norm = Norm(width, tower.eps)
        self.ffn = Ffn(width, block.ffn, tower.activation)

    def forward(self, x_BND: Tensor, gates: TowerGates) -> Tensor:
        """The feature, (B, D), of normalised tokens."""
        embed_D = None if self.apart else gates.embed_D
        own = gates.block(0, "pool")
        query_D = gate_rows(self.latent, embed_D)
        x_BD = self.attention.ask(query_D, x_BND, embed_D, own)
        return x_BD + self.ffn(self.norm(x_BD, embed_D), embed_D, own)

    def init_weights(self, generator: torch.Generator) -> None:
        """Random matrices; biases stay 0."""
        width = len(self.latent)
        attention, ffn = self.attention, self.ffn
        layers = (attention.q, attention.k, attention.v, attention.out)
        for layer in (*layers, ffn.up, ffn.down):
            fill_normal(layer.weight, width**-0.5, generator)
        fill_normal(self.latent, width**-0.5, generator)
