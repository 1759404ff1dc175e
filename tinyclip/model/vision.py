"""The image tower: a vision transformer with a class token.

Legend: B batch, P patches, N = P + 1 tokens, D embed, E joint embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import ImageShape
from .block import Norm, Stack
from .gating import TowerGates, gate_rows


class ImageTower(nn.Module):
    """Patches in, one feature out."""

    def __init__(self, shape: ImageShape, embed_dim: int) -> None:
        super().__init__()
        size, width = shape.patch_size, shape.width
        self.patch_size = size
        self.patch = nn.Parameter(torch.zeros(width, 3, size, size))
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(torch.zeros(shape.tokens, width))
        self.norm_pre = Norm(width, shape.eps)
        self.blocks = Stack(shape, causal=False)
        self.norm_post = Norm(width, shape.eps)
        self.projection = nn.Parameter(torch.zeros(width, embed_dim))

    def forward(self, pixels: Tensor, gates: TowerGates | None = None) -> Tensor:
        """Features before normalisation, (B, E).

        Args:
            pixels: (B, 3, S, S), preprocessed.
            gates: gates of this tower, or None.
        """
        gates = gates or TowerGates()
        embed_D = gates.embed_D
        patch = gate_rows(self.patch, embed_D)
        patches_BPD = F.conv2d(pixels, patch, stride=self.patch_size)
        patches_BPD = patches_BPD.flatten(2).transpose(1, 2)
        first_B1D = self.class_embedding.expand(len(pixels), 1, -1)
        fixed_ND: Tensor = self.position
        if embed_D is not None:
            first_B1D, fixed_ND = first_B1D * embed_D, fixed_ND * embed_D
        first_B1D = first_B1D.to(patches_BPD.dtype)
        x_BND = torch.cat([first_B1D, patches_BPD], dim=1) + fixed_ND
        x_BND = self.blocks(self.norm_pre(x_BND, embed_D), gates)
        return self.norm_post(x_BND[:, 0], embed_D) @ self.projection
