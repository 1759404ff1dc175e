"""Our parameter names and Hugging Face's (`CLIPModel`, `SiglipModel`): one table,
read in both directions.

Legend: D embed, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ...shapes import ClipShape

PAIRED = ("weight", "bias")
# ours -> theirs, in every block of both towers
BLOCK = {
    "norm_1": "layer_norm1",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.out": "self_attn.out_proj",
    "norm_2": "layer_norm2",
    "ffn.up": "mlp.fc1",
    "ffn.down": "mlp.fc2",
}
STACKS = {"image": "vision_model.encoder.layers", "text": "text_model.encoder.layers"}
# what both families have
SHARED = {
    "logit_scale": "logit_scale",
    "image.patch": "vision_model.embeddings.patch_embedding.weight",
    "image.position": "vision_model.embeddings.position_embedding.weight",
    "text.token_embedding": "text_model.embeddings.token_embedding.weight",
    "text.position": "text_model.embeddings.position_embedding.weight",
}
NORMS = {
    "image.norm_post": "vision_model.post_layernorm",
    "text.norm_final": "text_model.final_layer_norm",
}
CLIP = {
    "image.class_embedding": "vision_model.embeddings.class_embedding",
    "image.norm_pre.weight": "vision_model.pre_layrnorm.weight",  # their spelling
    "image.norm_pre.bias": "vision_model.pre_layrnorm.bias",
    "image.projection": "visual_projection.weight",
    "text.projection": "text_projection.weight",
}
SIGLIP = {
    "logit_bias": "logit_bias",
    "image.patch_bias": "vision_model.embeddings.patch_embedding.bias",
    "text.projection": "text_model.head.weight",
    "text.projection_bias": "text_model.head.bias",
    "image.pool.latent": "vision_model.head.probe",
}
POOL = {
    "image.pool.attention.out": "vision_model.head.attention.out_proj",
    "image.pool.norm": "vision_model.head.layernorm",
    "image.pool.ffn.up": "vision_model.head.mlp.fc1",
    "image.pool.ffn.down": "vision_model.head.mlp.fc2",
}
TRANSPOSED = ("image.projection", "text.projection")  # (D, E) here, (E, D) there
SCALARS = ("logit_scale", "logit_bias")  # SigLIP keeps them as (1,)
PROBE = "image.pool.latent"  # (D,) here, (1, 1, D) there


def is_siglip(shape: ClipShape) -> bool:
    """Whether `SiglipModel` is the family to look in; else `CLIPModel` is."""
    return shape.image.pool == "map"


def pairs(shape: ClipShape) -> Iterator[tuple[str, str]]:
    """Every tensor that is not packed, as (ours, theirs)."""
    siglip = is_siglip(shape)
    yield from {**SHARED, **(SIGLIP if siglip else CLIP)}.items()
    modules = {**NORMS, **(POOL if siglip else {})}
    for tower, stack in STACKS.items():
        for layer in range(len(shape.towers()[tower].blocks)):
            for mine, theirs in BLOCK.items():
                modules[f"{tower}.blocks.{layer}.{mine}"] = f"{stack}.{layer}.{theirs}"
    for mine, theirs in modules.items():
        for kind in PAIRED:
            yield f"{mine}.{kind}", f"{theirs}.{kind}"


def packed(shape: ClipShape) -> Iterator[tuple[list[str], str]]:
    """Every tensor that they pack (SigLIP's pool), as (our three, theirs)."""
    if is_siglip(shape):
        for kind in PAIRED:
            ours = [f"image.pool.attention.{part}.{kind}" for part in "qkv"]
            yield ours, f"vision_model.head.attention.in_proj_{kind}"


def to_huggingface(ours: Mapping[str, Tensor], shape: ClipShape) -> dict[str, Tensor]:
    """Our tensors under their names and in their layout."""
    siglip, made = is_siglip(shape), {}
    for mine, theirs in pairs(shape):
        value = ours[mine]
        if mine in TRANSPOSED:
            value = value.T
        elif mine == PROBE:
            value = value.view(1, 1, -1)
        elif mine in SCALARS and siglip:
            value = value.view(1)
        made[theirs] = value.contiguous()
    for names, theirs in packed(shape):
        made[theirs] = torch.cat([ours[name] for name in names])
    return made


def from_huggingface(
    theirs: Mapping[str, Tensor], shape: ClipShape
) -> dict[str, Tensor]:
    """Their tensors under our names and in our layout; what is not known keeps its
    name.

    A tensor that is missing is left out, one of another rank stays as it is: whoever
    fills the model says so.
    """
    left, made = dict(theirs), {}
    for mine, name in pairs(shape):
        if name not in left:
            continue
        value = left.pop(name)
        if mine in TRANSPOSED and value.ndim == 2:
            value = value.T
        elif mine == PROBE and value.ndim == 3:
            value = value.flatten()
        elif mine in SCALARS and value.numel() == 1:
            value = value.reshape(())
        made[mine] = value
    for names, name in packed(shape):
        # one that is not three equal parts stays, and is named as not fitting
        if name in left and left[name].ndim and left[name].shape[0] % 3 == 0:
            made.update(zip(names, left.pop(name).chunk(3), strict=True))
    return {**made, **left}
