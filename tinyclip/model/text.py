"""The text tower: a causal transformer that pools at the end-of-text token.

Legend: B batch, T tokens, D embed, E joint embedding, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import TextShape
from .block import Norm, Stack
from .gating import TowerGates


class TextTower(nn.Module):
    """Token ids in, one feature out."""

    def __init__(self, shape: TextShape, embed_dim: int) -> None:
        super().__init__()
        width = shape.width
        self.token_embedding = nn.Parameter(torch.zeros(shape.vocab_size, width))
        self.position = nn.Parameter(torch.zeros(shape.context_length, width))
        self.blocks = Stack(shape, causal=True)
        self.norm_final = Norm(width, shape.eps)
        self.projection = nn.Parameter(torch.zeros(width, embed_dim))

    def forward(self, tokens_BT: Tensor, gates: TowerGates | None = None) -> Tensor:
        """Features before normalisation, (B, E).

        Args:
            tokens_BT: ids, end-of-text the largest of each row.
            gates: gates of this tower, or None.
        """
        gates = gates or TowerGates()
        embed_D = gates.embed_D
        x_BTD = F.embedding(tokens_BT, self.token_embedding)
        x_BTD = x_BTD + self.position[: tokens_BT.shape[1]]
        if embed_D is not None:
            x_BTD = x_BTD * embed_D
        x_BTD = self.blocks(x_BTD, gates)
        # the largest id is end-of-text; argmax takes its first place
        end_B = tokens_BT.argmax(dim=-1)
        pooled_BD = x_BTD[torch.arange(len(x_BTD), device=x_BTD.device), end_B]
        return self.norm_final(pooled_BD, embed_D) @ self.projection
