"""A CLIP whose blocks differ in width, for Hugging Face transformers.

This file lies beside the weights of an exported model and is all the code it needs:
    model = AutoModel.from_pretrained("path/to/it", trust_remote_code=True)
Every block has its own number of heads and FFN units, none included; `config.image` and
`config.text` say how many, and which of the switches below a tower has.

Legend: B batch, N tokens, T text tokens, P patches, D embed, H heads, K head width,
F ffn units, E joint embedding.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput


class TinyclipConfig(PretrainedConfig):
    """The widths and switches of both towers.

    Args:
        embed_dim: width of the embedding that both towers lead to.
        image: width, head_width, blocks (a list of {heads, ffn}), activation, eps,
            layer_scale, image_size, patch_size, class_token, patch_bias, norm_pre,
            pool (class, mean or map), norm_after_pool, pool_block, projection.
        text: width, head_width, blocks, activation, eps, layer_scale, context_length,
            vocab_size, causal, pool (argmax, eos, last or first), eos_id,
            projection_bias.
        logit_bias: whether a bias is added to the scaled products (SigLIP).
    """

    model_type = "tinyclip"

    def __init__(
        self,
        embed_dim: int = 0,
        image: dict[str, Any] | None = None,
        text: dict[str, Any] | None = None,
        logit_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        self.embed_dim, self.logit_bias = embed_dim, logit_bias
        self.image, self.text = image or {}, text or {}
        super().__init__(**kwargs)


@dataclass
class TinyclipOutput(ModelOutput):
    """What `CLIPModel` returns, too.

    Args:
        logits_per_image: (images, texts); logits_per_text: its transpose.
        text_embeds, image_embeds: (B, E), of length 1.
    """

    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    text_model_output: BaseModelOutputWithPooling | None = None
    vision_model_output: BaseModelOutputWithPooling | None = None


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


class Attention(nn.Module):
    """Attention with any number of heads, of all tokens or of one learned query."""

    def __init__(self, width: int, heads: int, head_width: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.head_width, self.causal = heads, head_width, causal
        inner = heads * head_width
        self.q, self.k = Linear(width, inner), Linear(width, inner)
        self.v, self.out = Linear(width, inner), Linear(inner, width)

    def forward(self, x_BND: Tensor, query_BND: Tensor | None = None) -> Tensor:
        query_BND = x_BND if query_BND is None else query_BND
        if self.heads == 0:  # what is left of the layer is its bias
            return self.out.bias.expand_as(query_BND)

        def split(x_BNI: Tensor) -> Tensor:
            return x_BNI.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)

        q, k, v = split(self.q(query_BND)), split(self.k(x_BND)), split(self.v(x_BND))
        seen_BHNK = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
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
    """Attention, then the FFN, each behind a LayerNorm and added to the stream."""

    def __init__(self, tower: dict[str, Any], block: dict[str, int]) -> None:
        super().__init__()
        width, causal = tower["width"], tower.get("causal", False)
        self.norm_1 = nn.LayerNorm(width, tower["eps"])
        self.attention = Attention(width, block["heads"], tower["head_width"], causal)
        self.norm_2 = nn.LayerNorm(width, tower["eps"])
        self.ffn = Ffn(width, block["ffn"], tower["activation"])
        self.scale_1 = parameter(width) if tower["layer_scale"] else None
        self.scale_2 = parameter(width) if tower["layer_scale"] else None

    def forward(self, x_BND: Tensor) -> Tensor:
        seen_BND = self.attention(self.norm_1(x_BND))
        x_BND = x_BND + (seen_BND if self.scale_1 is None else seen_BND * self.scale_1)
        made_BND = self.ffn(self.norm_2(x_BND))
        return x_BND + (made_BND if self.scale_2 is None else made_BND * self.scale_2)


class AttentionPool(nn.Module):
    """One learned query asks all patches (SigLIP)."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        width, block = tower["width"], tower["pool_block"]
        self.latent = parameter(width)
        self.attention = Attention(width, block["heads"], tower["head_width"], False)
        self.norm = nn.LayerNorm(width, tower["eps"])
        self.ffn = Ffn(width, block["ffn"], tower["activation"])

    def forward(self, x_BND: Tensor) -> Tensor:
        x_B1D = self.attention(x_BND, self.latent.expand(len(x_BND), 1, -1))
        return (x_B1D + self.ffn(self.norm(x_B1D)))[:, 0]


class ImageTower(nn.Module):
    """Patches in, one feature out."""

    def __init__(self, tower: dict[str, Any], embed_dim: int) -> None:
        super().__init__()
        width, size = tower["width"], tower["patch_size"]
        first = int(tower["class_token"])
        tokens = (tower["image_size"] // size) ** 2 + first
        self.tower = tower
        self.patch = parameter(width, 3, size, size)
        self.patch_bias = parameter(width) if tower["patch_bias"] else None
        self.class_embedding = parameter(width) if first else None
        self.position = parameter(tokens, width)
        norm_pre = tower["norm_pre"]
        self.norm_pre = nn.LayerNorm(width, tower["eps"]) if norm_pre else None
        self.blocks = nn.ModuleList(Block(tower, block) for block in tower["blocks"])
        self.norm_post = nn.LayerNorm(width, tower["eps"])
        self.pool = AttentionPool(tower) if tower["pool"] == "map" else None
        self.projection = parameter(width, embed_dim) if tower["projection"] else None

    def forward(self, pixel_values: Tensor) -> BaseModelOutputWithPooling:
        stride = self.tower["patch_size"]
        x_BDhw = F.conv2d(pixel_values, self.patch, self.patch_bias, stride=stride)
        x_BND = x_BDhw.flatten(2).transpose(1, 2)
        if self.class_embedding is not None:
            first_B1D = self.class_embedding.expand(len(x_BND), 1, -1)
            x_BND = torch.cat([first_B1D, x_BND], dim=1)
        x_BND = x_BND + self.position
        if self.norm_pre is not None:
            x_BND = self.norm_pre(x_BND)
        for block in self.blocks:
            x_BND = block(x_BND)
        feature = self._pool(x_BND)
        if self.projection is not None:
            feature = feature @ self.projection
        return BaseModelOutputWithPooling(x_BND, feature)

    def _pool(self, x_BND: Tensor) -> Tensor:
        if self.pool is not None:
            return self.pool(self.norm_post(x_BND))
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
        self.norm_final = nn.LayerNorm(width, tower["eps"])
        self.projection = parameter(width, embed_dim)
        biased = tower["projection_bias"]
        self.projection_bias = parameter(embed_dim) if biased else None

    def forward(self, input_ids: Tensor) -> BaseModelOutputWithPooling:
        x_BTD = F.embedding(input_ids, self.token_embedding)
        x_BTD = x_BTD + self.position[: input_ids.shape[1]]
        for block in self.blocks:
            x_BTD = block(x_BTD)
        x_BTD = self.norm_final(x_BTD)
        rows_B = torch.arange(len(x_BTD), device=x_BTD.device)
        feature = x_BTD[rows_B, self._place(input_ids)] @ self.projection
        if self.projection_bias is not None:
            feature = feature + self.projection_bias
        return BaseModelOutputWithPooling(x_BTD, feature)

    def _place(self, input_ids: Tensor) -> Tensor | int:
        """Which token stands for the caption: its index, (B,) or the same for all."""
        pool = self.tower["pool"]
        if pool in ("first", "last"):
            return 0 if pool == "first" else -1
        if pool == "eos":
            input_ids = input_ids.eq(self.tower["eos_id"]).int()
        return input_ids.argmax(dim=-1)


class TinyclipModel(PreTrainedModel):
    """Both towers; the methods and outputs are those of `CLIPModel`."""

    config_class = TinyclipConfig
    base_model_prefix = "tinyclip"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: TinyclipConfig) -> None:
        super().__init__(config)
        self.image = ImageTower(config.image, config.embed_dim)
        self.text = TextTower(config.text, config.embed_dim)
        self.logit_scale = parameter()
        self.logit_bias = parameter() if config.logit_bias else None
        self.post_init()

    def get_image_features(self, pixel_values: Tensor) -> BaseModelOutputWithPooling:
        """`pooler_output` is the feature, (B, E), before normalisation."""
        return self.image(pixel_values)

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> BaseModelOutputWithPooling:
        """`pooler_output` is the feature, (B, E), before normalisation.

        Args:
            input_ids: (B, T); where all tokens see each other, or the last one is the
                feature, padded to the full length, as in training.
            attention_mask: not looked at: padding was seen in training as well.
        """
        return self.text(input_ids)

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
    ) -> TinyclipOutput:
        image, text = self.image(pixel_values), self.text(input_ids)
        image_BE = F.normalize(image.pooler_output, dim=-1)
        text_BE = F.normalize(text.pooler_output, dim=-1)
        logits = self.logit_scale.exp() * text_BE @ image_BE.T
        if self.logit_bias is not None:
            logits = logits + self.logit_bias
        return TinyclipOutput(
            logits_per_image=logits.T,
            logits_per_text=logits,
            text_embeds=text_BE,
            image_embeds=image_BE,
            text_model_output=text,
            vision_model_output=image,
        )
