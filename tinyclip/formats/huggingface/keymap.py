"""Our parameter names and Hugging Face's (`CLIPModel`, `SiglipModel`): one list of
links, read in both directions.

Legend: D embed, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ...shapes import ClipShape
from ..link import Link, layer, packed, to_ours, to_theirs

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
TURNED = ("image.projection", "text.projection")  # (D, E) here, (E, D) there
SCALARS = ("logit_scale", "logit_bias")
# axes that SigLIP has in front: (1,) of a scalar, (1, 1, D) of its pool's query
SIGLIP_LEAD = {**dict.fromkeys(SCALARS, 1), "image.pool.latent": 2}


def is_siglip(shape: ClipShape) -> bool:
    """Whether `SiglipModel` is the family to look in; else `CLIPModel` is."""
    return shape.image.pool == "map"


def links(shape: ClipShape) -> Iterator[Link]:
    """Every tensor of a CLIP of this shape."""
    siglip = is_siglip(shape)
    for ours, theirs in {**SHARED, **(SIGLIP if siglip else CLIP)}.items():
        lead = SIGLIP_LEAD.get(ours, 0) if siglip else 0
        yield Link(theirs, (ours,), lead, ours in TURNED)
    for ours, theirs in {**NORMS, **(POOL if siglip else {})}.items():
        yield from layer(ours, theirs)
    for tower, stack in STACKS.items():
        for number in range(len(shape.towers()[tower].blocks)):
            for ours, theirs in BLOCK.items():
                mine = f"{tower}.blocks.{number}.{ours}"
                yield from layer(mine, f"{stack}.{number}.{theirs}")
    if siglip:
        pool = "vision_model.head.attention.in_proj_"
        yield from packed("image.pool.attention", "qkv", pool)


def to_huggingface(ours: Mapping[str, Tensor], shape: ClipShape) -> dict[str, Tensor]:
    """Our tensors under their names and in their layout."""
    return to_theirs(links(shape), ours)


def from_huggingface(
    theirs: Mapping[str, Tensor], shape: ClipShape
) -> dict[str, Tensor]:
    """Their tensors under our names and in our layout; all must be there, of the right
    shapes."""
    return to_ours(links(shape), theirs)
