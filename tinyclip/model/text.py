"""The text tower: a transformer that takes one token's state as the feature.

Legend: B batch, T tokens, D embed, E joint embedding, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import TextShape
from .block import Stack, fill_normal
from .gating import TowerGates, gate_columns
from .norm import norm_of


class TextTower(nn.Module):
    """Token ids in, one feature out."""

    def __init__(self, shape: TextShape, embed_dim: int) -> None:
        super().__init__()
        width = shape.width
        self.shape = shape
        self.token_embedding = nn.Parameter(torch.zeros(shape.vocab_size, width))
        self.position = nn.Parameter(torch.zeros(shape.context_length, width))
        self.blocks = Stack(shape, causal=shape.causal)
        self.norm_final = norm_of(shape)
        self.projection = nn.Parameter(torch.zeros(width, embed_dim))
        self.projection_bias: nn.Parameter | None = None
        if shape.projection_bias:
            self.projection_bias = nn.Parameter(torch.zeros(embed_dim))

    def forward(
        self,
        tokens_BT: Tensor,
        gates: TowerGates | None = None,
        joint_E: Tensor | None = None,
    ) -> Tensor:
        """Features before normalisation, (B, E).

        Args:
            tokens_BT: ids, as the model's tokenizer makes them.
            gates: gates of this tower, or None.
            joint_E: gates of the joint embedding's channels, where they are those of
                the image tower.
        """
        gates = gates or TowerGates()
        return self.read(self.start(tokens_BT, gates), tokens_BT, gates, joint_E)

    def read(
        self,
        x_BTD: Tensor,
        tokens_BT: Tensor,
        gates: TowerGates | None = None,
        joint_E: Tensor | None = None,
    ) -> Tensor:
        """Features (B, E) of a residual stream before the first block, as `start` makes
        it, whose captions end where those of `tokens_BT` do; the rest as `forward`."""
        gates = gates or TowerGates()
        pooled_BD = self._pool(self.blocks(x_BTD, gates), tokens_BT)
        projection = gate_columns(self.projection, joint_E)
        features_BE = self.norm_final(pooled_BD, gates.embed_D) @ projection
        if self.projection_bias is None:
            return features_BE
        return features_BE + gate_columns(self.projection_bias, joint_E)

    def start(self, tokens_BT: Tensor, gates: TowerGates | None = None) -> Tensor:
        """The residual stream before the first block, (B, T, D)."""
        x_BTD = F.embedding(tokens_BT, self.token_embedding)
        x_BTD = x_BTD + self.position[: tokens_BT.shape[1]]
        embed_D = gates.embed_D if gates else None
        return x_BTD if embed_D is None else x_BTD * embed_D

    def end(self, tokens_BT: Tensor) -> Tensor:
        """The place of the token that stands for the caption, (B,)."""
        pool, length = self.shape.pool, tokens_BT.shape[1]
        if pool in ("first", "last"):
            place = 0 if pool == "first" else length - 1
            return torch.full_like(tokens_BT[:, 0], place)
        # argmax takes the first place of the largest id, or of end-of-text
        if pool == "eos":
            tokens_BT = tokens_BT.eq(self.shape.eos_id or 0).int()
        return tokens_BT.argmax(dim=-1)

    def _pool(self, x_BTD: Tensor, tokens_BT: Tensor) -> Tensor:
        """The state of the token that stands for the caption, (B, D)."""
        if self.shape.pool == "first":
            return x_BTD[:, 0]
        if self.shape.pool == "last":
            return x_BTD[:, -1]
        end_B = self.end(tokens_BT)
        return x_BTD[torch.arange(x_BTD.shape[0], device=x_BTD.device), end_B]

    def init_weights(self, generator: torch.Generator) -> None:
        """Random weights; biases stay 0."""
        fill_normal(self.position, 0.01, generator)
        fill_normal(self.projection, self.shape.width**-0.5, generator)
        self.blocks.init_weights(generator)
