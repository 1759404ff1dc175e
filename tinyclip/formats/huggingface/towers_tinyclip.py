"""The two towers of a CLIP whose blocks differ in width.

Every block has its own number of heads, of dims in each of them, and of FFN units, none
included, or lacks attention or the FFN as a whole; the tower's part of `config.json`
says how many, and which of the switches below it has. A tower whose `norm` is `rms` was
rotated into a basis of its stream, and `full_width` is what it was as wide as before.

Legend: B batch, N tokens, T text tokens, P patches, D embed, H heads, K dims of a head,
F ffn units, E joint embedding.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

ACTIVATION: dict[str, Any] = {
    "gelu": F.gelu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
}


def parameter(*size: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(size) * 0.02)


class Linear(nn.Linear):
    """A linear layer that may be empty."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)


class RmsNorm(nn.Module):
    """The stream of a rotated tower over the root of its mean square; the mean counts
    the full width, directions that were cut off as zeros. Sums are in float32."""

    def __init__(self, width: int, eps: float, full_width: int) -> None:
        super().__init__()
        self.eps, self.full_width = eps, full_width
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            mean = wide.square().sum(-1, keepdim=True) / self.full_width
            return (wide * torch.rsqrt(mean + self.eps) * self.weight).to(x.dtype)


def is_rotated(tower: dict[str, Any]) -> bool:
    return tower.get("norm", "layer") == "rms"


def norm_of(tower: dict[str, Any]) -> nn.LayerNorm | RmsNorm:
    """The norm that reads the stream of a tower."""
    if is_rotated(tower):
        return RmsNorm(tower["width"], tower["eps"], tower["full_width"])
    return nn.LayerNorm(tower["width"], tower["eps"])


def full_width(tower: dict[str, Any]) -> int:
    """The width of what a rotation does not reach; of other towers, the width."""
    return tower.get("full_width") or tower["width"]


class Attention(nn.Module):
    """Attention with any number of heads, of all tokens or of one learned query; scores
    are divided by the root of the tower's head width, whatever dims are left of it.

    Args:
        asking: width of what asks and is written to; the tower's, unless given.
    """

    def __init__(
        self, tower: dict[str, Any], block: dict[str, int], asking: int | None = None
    ) -> None:
        super().__init__()
        width, head_width = tower["width"], tower["head_width"]
        self.heads, self.dims = block["heads"], block.get("dims", head_width)
        self.causal = asking is None and tower.get("causal", False)
        self.scale = head_width**-0.5
        inner, asking = self.heads * self.dims, asking or width
        self.q, self.k = Linear(asking, inner), Linear(width, inner)
        self.v, self.out = Linear(width, inner), Linear(inner, asking)

    def forward(self, x_BND: Tensor, query_BND: Tensor | None = None) -> Tensor:
        query_BND = x_BND if query_BND is None else query_BND
        if self.out.in_features == 0:  # what is left of the layer is its bias
            return self.out.bias.expand_as(query_BND)

        def split(x_BNI: Tensor) -> Tensor:
            return x_BNI.unflatten(-1, (self.heads, self.dims)).transpose(1, 2)

        q, k, v = split(self.q(query_BND)), split(self.k(x_BND)), split(self.v(x_BND))
        seen_BHNK = F.scaled_dot_product_attention(
            q, k, v, is_causal=self.causal, scale=self.scale
        )
        return self.out(seen_BHNK.transpose(1, 2).flatten(2))


class Ffn(nn.Module):
    """The two-layer perceptron, with any number of units."""

    def __init__(self, width: int, units: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATION[activation]
        self.up, self.down = Linear(width, units), Linear(units, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        if self.up.out_features == 0:
            return self.down.bias.expand_as(x_BND)
        return self.down(self.activation(self.up(x_BND)))


class Block(nn.Module):
    """Attention, then the FFN, each behind a norm and added to the stream; a layer that
    `config.json` says is missing adds nothing."""

    def __init__(self, tower: dict[str, Any], block: dict[str, int]) -> None:
        super().__init__()
        width, scaled = tower["width"], tower["layer_scale"]
        self.attends = bool(block.get("attention_layers", 1))
        self.feeds = bool(block.get("ffn_layers", 1))
        if self.attends:
            self.norm_1 = norm_of(tower)
            self.attention = Attention(tower, block)
        if self.feeds:
            self.norm_2 = norm_of(tower)
            self.ffn = Ffn(width, block["ffn"], tower["activation"])
        self.scale_1 = parameter(width) if scaled and self.attends else None
        self.scale_2 = parameter(width) if scaled and self.feeds else None

    def forward(self, x_BND: Tensor) -> Tensor:
        if self.attends:
            seen_BND = self.attention(self.norm_1(x_BND))
            x_BND = x_BND + _scaled(seen_BND, self.scale_1)
        if self.feeds:
            made_BND = self.ffn(self.norm_2(x_BND))
            x_BND = x_BND + _scaled(made_BND, self.scale_2)
        return x_BND


def _scaled(update_BND: Tensor, scale_D: Tensor | None) -> Tensor:
    return update_BND if scale_D is None else update_BND * scale_D


class AttentionPool(nn.Module):
    """One learned query asks all patches (SigLIP). Of a rotated tower keys and values
    alone read the stream; the pool's own stays as wide as it was."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        width, block = full_width(tower), tower["pool_block"]
        self.latent = parameter(width)
        self.attention = Attention(tower, block, width)
        self.norm = nn.LayerNorm(width, tower["eps"])
        self.ffn = Ffn(width, block["ffn"], tower["activation"])

    def forward(self, x_BND: Tensor) -> Tensor:
        x_B1D = self.attention(x_BND, self.latent.expand(len(x_BND), 1, -1))
        return (x_B1D + self.ffn(self.norm(x_B1D)))[:, 0]


def through(
    blocks: nn.ModuleList, x_BND: Tensor, hidden: bool
) -> tuple[Tensor, tuple[Tensor, ...] | None]:
    """What comes out of the last block; and, if wanted, what went into the first and
    came out of each."""
    states = [x_BND]
    for block in blocks:
        x_BND = block(x_BND)
        if hidden:
            states.append(x_BND)
    return x_BND, tuple(states) if hidden else None


class ImageTower(nn.Module):
    """Patches in, one feature out."""

    def __init__(self, tower: dict[str, Any], embed_dim: int) -> None:
        super().__init__()
        size, full = tower["patch_size"], full_width(tower)
        # before its first norm, if it has one, a rotated tower is as wide as it was
        norm_pre = tower["norm_pre"]
        stemmed = norm_pre and is_rotated(tower)
        width = full if stemmed else tower["width"]
        first = int(tower["class_token"])
        tokens = (tower["image_size"] // size) ** 2 + first
        self.tower = tower
        self.patch = parameter(width, 3, size, size)
        self.patch_bias = parameter(width) if tower["patch_bias"] else None
        self.class_embedding = parameter(width) if first else None
        self.position = parameter(tokens, width)
        self.norm_pre = nn.LayerNorm(width, tower["eps"]) if norm_pre else None
        self.stem = parameter(full, tower["width"]) if stemmed else None
        self.blocks = nn.ModuleList(Block(tower, block) for block in tower["blocks"])
        self.norm_post = norm_of(tower)
        self.pool = AttentionPool(tower) if tower["pool"] == "map" else None
        pooled = tower["width"] if self.pool is None else full
        self.projection = parameter(pooled, embed_dim) if tower["projection"] else None
        biased = tower.get("projection_bias", False)
        self.projection_bias = parameter(embed_dim) if biased else None

    def forward(
        self, pixel_values: Tensor, hidden: bool = False
    ) -> BaseModelOutputWithPooling:
        stride = self.tower["patch_size"]
        x_BDhw = F.conv2d(pixel_values, self.patch, self.patch_bias, stride=stride)
        x_BND = x_BDhw.flatten(2).transpose(1, 2)
        if self.class_embedding is not None:
            first_B1D = self.class_embedding.expand(len(x_BND), 1, -1)
            x_BND = torch.cat([first_B1D, x_BND], dim=1)
        x_BND = x_BND + self.position
        if self.norm_pre is not None:
            x_BND = self.norm_pre(x_BND)
        if self.stem is not None:
            x_BND = x_BND @ self.stem
        x_BND, states = through(self.blocks, x_BND, hidden)
        if self.pool is not None:
            x_BND = self.norm_post(x_BND)
        feature = self._pool(x_BND)
        if self.projection is not None:
            feature = feature @ self.projection
        if self.projection_bias is not None:
            feature = feature + self.projection_bias
        return BaseModelOutputWithPooling(x_BND, feature, states)

    def _pool(self, x_BND: Tensor) -> Tensor:
        if self.pool is not None:
            return self.pool(x_BND)
        if self.tower["pool"] == "class":
            return self.norm_post(x_BND[:, 0])
        x_BPD = x_BND[:, int(self.tower["class_token"]) :]
        if self.tower["norm_after_pool"]:
            return self.norm_post(x_BPD.mean(dim=1))
        return self.norm_post(x_BPD).mean(dim=1)


class TextTower(nn.Module):
    """Token ids in, one feature out."""

    def __init__(self, tower: dict[str, Any], embed_dim: int) -> None:
        super().__init__()
        width = tower["width"]
        self.tower = tower
        self.token_embedding = parameter(tower["vocab_size"], width)
        self.position = parameter(tower["context_length"], width)
        self.blocks = nn.ModuleList(Block(tower, block) for block in tower["blocks"])
        self.norm_final = norm_of(tower)
        self.projection = parameter(width, embed_dim)
        biased = tower["projection_bias"]
        self.projection_bias = parameter(embed_dim) if biased else None

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        hidden: bool = False,
    ) -> BaseModelOutputWithPooling:
        x_BTD = F.embedding(input_ids, self.token_embedding)
        places = slice(input_ids.shape[1]) if position_ids is None else position_ids
        x_BTD = x_BTD + self.position[places]
        x_BTD, states = through(self.blocks, x_BTD, hidden)
        x_BTD = self.norm_final(x_BTD)
        rows_B = torch.arange(len(x_BTD), device=x_BTD.device)
        feature = x_BTD[rows_B, self._place(input_ids)] @ self.projection
        if self.projection_bias is not None:
            feature = feature + self.projection_bias
        return BaseModelOutputWithPooling(x_BTD, feature, states)

    def _place(self, input_ids: Tensor) -> Tensor | int:
        """Which token stands for the caption: its index, (B,) or the same for all."""
        pool = self.tower["pool"]
        if pool in ("first", "last"):
            return 0 if pool == "first" else -1
        if pool == "eos":
            input_ids = input_ids.eq(self.tower["eos_id"]).int()
        return input_ids.argmax(dim=-1)
