"""The image tower: a vision transformer.

Legend: B batch, P patches, N tokens, D embed, E joint embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import ImageShape
from .block import Stack, fill_normal
from .gating import TowerGates, gate_columns, gate_rows
from .norm import Norm, norm_of
from .pool import AttentionPool


class ImageTower(nn.Module):
    """Patches in, one feature out."""

    def __init__(self, shape: ImageShape, embed_dim: int) -> None:
        super().__init__()
        size, width, first = shape.patch_size, shape.width, shape.embed_width
        self.shape = shape
        self.patch = nn.Parameter(torch.zeros(first, 3, size, size))
        self.patch_bias = _vector(first, shape.patch_bias)
        self.class_embedding = _vector(first, shape.class_token)
        self.position = nn.Parameter(torch.zeros(shape.tokens, first))
        # a rotated tower's first norm keeps its mean: only its output is the stream
        self.norm_pre = Norm(first, shape.eps) if shape.norm_pre else None
        self.stem: nn.Parameter | None = None
        if shape.stemmed:
            self.stem = nn.Parameter(torch.zeros(first, width))
        self.blocks = Stack(shape, causal=False)
        self.norm_post = norm_of(shape)
        block = shape.pool_block
        self.pool = None if block is None else AttentionPool(shape, block)
        self.projection: nn.Parameter | None = None
        if shape.projection:
            self.projection = nn.Parameter(torch.zeros(shape.feature_width, embed_dim))
        self.projection_bias = _vector(embed_dim, shape.projection_bias)

    def forward(self, pixels: Tensor, gates: TowerGates | None = None) -> Tensor:
        """Features before normalisation, (B, E).

        Args:
            pixels: (B, 3, S, S), preprocessed.
            gates: gates of this tower, or None.
        """
        gates = gates or TowerGates()
        pooled_BD = self._pool(self.blocks(self.start(pixels, gates), gates), gates)
        if self.projection is None:
            return pooled_BD
        features_BE = pooled_BD @ self.projection
        if self.projection_bias is None:
            return features_BE
        return features_BE + self.projection_bias

    def start(self, pixels: Tensor, gates: TowerGates | None = None) -> Tensor:
        """The residual stream before the first block, (B, N, D)."""
        embed_D = gates.embed_D if gates else None
        before_D = None if self.shape.stemmed else embed_D
        x_BND = self._embed(pixels, before_D)
        if self.norm_pre is not None:
            x_BND = self.norm_pre(x_BND, before_D)
        if self.stem is None:
            return x_BND
        return x_BND @ gate_columns(self.stem, embed_D)

    def _embed(self, pixels: Tensor, embed_D: Tensor | None) -> Tensor:
        """Patches, the class token before them, and their positions, (B, N, D)."""
        patch = gate_rows(self.patch, embed_D)
        bias = self.patch_bias
        bias_D = None if bias is None else gate_rows(bias, embed_D)
        x_BND = F.conv2d(pixels, patch, bias_D, stride=self.shape.patch_size)
        x_BND = x_BND.flatten(2).transpose(1, 2)
        fixed_ND: Tensor = self.position
        if self.class_embedding is not None:
            first_B1D = self.class_embedding.expand(pixels.shape[0], 1, -1)
            if embed_D is not None:
                first_B1D = first_B1D * embed_D
            x_BND = torch.cat([first_B1D.to(x_BND.dtype), x_BND], dim=1)
        if embed_D is not None:
            fixed_ND = fixed_ND * embed_D
        return x_BND + fixed_ND

    def _pool(self, x_BND: Tensor, gates: TowerGates) -> Tensor:
        """One feature of all tokens, (B, D)."""
        embed_D = gates.embed_D
        pooled_BD: Tensor
        if self.pool is not None:
            pooled_BD = self.pool(self.norm_post(x_BND, embed_D), gates)
        elif self.shape.pool == "class":
            pooled_BD = self.norm_post(x_BND[:, 0], embed_D)
        else:
            x_BPD = x_BND[:, int(self.shape.class_token) :]
            if self.shape.norm_after_pool:
                pooled_BD = self.norm_post(x_BPD.mean(dim=1), embed_D)
            else:
                pooled_BD = self.norm_post(x_BPD, embed_D).mean(dim=1)
        return pooled_BD

    def init_weights(self, generator: torch.Generator) -> None:
        """Random weights; biases stay 0."""
        width = self.shape.width
        fill_normal(self.position, width**-0.5, generator)
        if self.stem is not None:
            fill_normal(self.stem, width**-0.5, generator)
        if self.projection is not None:
            fill_normal(self.projection, width**-0.5, generator)
        self.blocks.init_weights(generator)
        if self.pool is not None:
            self.pool.init_weights(generator)


def _vector(width: int, present: bool) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(width)) if present else None
