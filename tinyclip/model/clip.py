"""The canonical CLIP: two ragged towers and a logit scale.

Legend: B batch, T tokens, E joint embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import ClipShape
from .block import fill_normal
from .gating import GatesLike, resolve
from .text import TextTower
from .vision import ImageTower


@dataclass(frozen=True)
class Features:
    """Normalised features of a batch of pairs, and the scale of their products.

    Args:
        bias: added to the scaled products by models that were trained with a sigmoid
            (SigLIP); None for the others.
        channels_E: which channels of the teacher's embedding these are, of a student
            whose own is narrower; None for all.
        more: what objectives need beside, by name; of every pair something, (B, ...).
        temperature: that a strategy divides logits by where distributions of a sample
            are compared; None for 1.
        weight_B: what a strategy multiplies each pair's share of such a comparison by;
            None for 1.
    """

    image_BE: Tensor
    text_BE: Tensor
    scale: Tensor
    bias: Tensor | None = None
    channels_E: Tensor | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)
    temperature: Tensor | None = None
    weight_B: Tensor | None = None

    def rows(self) -> dict[str, Tensor]:
        """All that it has of each pair, by name."""
        return {"image": self.image_BE, "text": self.text_BE, **self.more}

    def with_rows(self, rows: Mapping[str, Tensor]) -> Features:
        """The same with other `rows`."""
        more = {name: rows[name] for name in self.more}
        return replace(self, image_BE=rows["image"], text_BE=rows["text"], more=more)


class Clip(nn.Module):
    """A CLIP of any shape; gates are arguments of its forward pass.

    Args:
        shape: widths of every part. The weights are zeros until they are loaded, or
            made by `init_weights`.
    """

    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        self.shape = shape
        self.image = ImageTower(shape.image, shape.embed_dim)
        self.text = TextTower(shape.text, shape.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.logit_bias: nn.Parameter | None = None
        if shape.logit_bias:
            self.logit_bias = nn.Parameter(torch.tensor(0.0))

    def encode_image(
        self, pixels: Tensor, normalize: bool = False, gates: GatesLike = None
    ) -> Tensor:
        """Image features.

        Args:
            pixels: (B, 3, S, S), preprocessed.
            normalize: divide each row by its length.
            gates: `ClipGates`, or a module that makes them, or None.

        Returns:
            (B, E).
        """
        features_BE = self.image(pixels, resolve(gates).image)
        return F.normalize(features_BE, dim=-1) if normalize else features_BE

    def encode_text(
        self, tokens_BT: Tensor, normalize: bool = False, gates: GatesLike = None
    ) -> Tensor:
        """Text features, (B, E), of token ids (B, T); the rest as `encode_image`."""
        values = resolve(gates)
        joint_E = None
        if values.image is not None and self.shape.image.joint_is_stream:
            # the joint channels are those of the image tower's stream
            joint_E = values.image.embed_D
        features_BE = self.text(tokens_BT, values.text, joint_E)
        return F.normalize(features_BE, dim=-1) if normalize else features_BE

    def forward(
        self, pixels: Tensor, tokens_BT: Tensor, gates: GatesLike = None
    ) -> Features:
        """Normalised features of a batch of pairs, under one sample of the gates."""
        gates = resolve(gates)
        return Features(
            self.encode_image(pixels, normalize=True, gates=gates),
            self.encode_text(tokens_BT, normalize=True, gates=gates),
            self.logit_scale.exp(),
            self.logit_bias,
        )

    @torch.no_grad()
    def init_weights(self, seed: int) -> Clip:
        """Random weights as CLIP starts from (Radford et al. 2021, §2.4).

        Returns:
            Self.
        """
        generator = torch.Generator().manual_seed(seed)
        image, text = self.image, self.text
        # a fixed order: the same seed gives the same weights in every version
        image.init_weights(generator)
        text.init_weights(generator)
        if image.class_embedding is not None:
            width = self.shape.image.width
            fill_normal(image.class_embedding, width**-0.5, generator)
        fill_normal(image.patch, image.patch[0].numel() ** -0.5, generator)
        fill_normal(text.token_embedding, 0.02, generator)
        if self.logit_bias is not None:  # Zhai et al. 2023, §3.2
            self.logit_scale.fill_(math.log(10))
            self.logit_bias.fill_(-10)
        return self
