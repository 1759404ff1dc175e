"""Our parameter names and open_clip's: one list of links, read in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ...shapes import ClipShape, ImageShape, TextShape, TowerShape
from ..link import Link, layer, packed, to_ours, to_theirs

QKV = ("q", "k", "v")  # packed one after the other, in open_clip and in timm
BLOCK = {
    "norm_1": "ln_1",
    "attention.out": "attn.out_proj",
    "norm_2": "ln_2",
    "ffn.up": "mlp.c_fc",
    "ffn.down": "mlp.c_proj",
}
TIMM_BLOCK = {
    "norm_1": "norm1",
    "attention.out": "attn.proj",
    "norm_2": "norm2",
    "ffn.up": "mlp.fc1",
    "ffn.down": "mlp.fc2",
}
TIMM_POOL = {
    "attention.q": "q",
    "attention.out": "proj",
    "norm": "norm",
    "ffn.up": "mlp.fc1",
    "ffn.down": "mlp.fc2",
}
TRUNK = "visual.trunk"


def links(shape: ClipShape) -> Iterator[Link]:
    """Every tensor of a CLIP of this shape.

    An image tower with an attention pool is timm's, any other open_clip's own. The text
    tower goes by the names of `CLIP`; `CustomTextCLIP` puts `text.` before them.
    """
    yield Link("logit_scale", ("logit_scale",))
    if shape.logit_bias:
        yield Link("logit_bias", ("logit_bias",))
    yield from _trunk(shape.image) if shape.image.pool == "map" else _image(shape.image)
    yield from _text(shape.text)


def from_openclip(theirs: Mapping[str, Tensor], shape: ClipShape) -> dict[str, Tensor]:
    """open_clip's tensors under our names; all must be there, of the right shapes."""
    return to_ours(links(shape), theirs)


def to_openclip(ours: Mapping[str, Tensor], shape: ClipShape) -> dict[str, Tensor]:
    """Our tensors under open_clip's names."""
    return to_theirs(links(shape), ours)


def _image(image: ImageShape) -> Iterator[Link]:
    """open_clip's own vision transformer."""
    yield Link("visual.conv1.weight", ("image.patch",))
    yield Link("visual.class_embedding", ("image.class_embedding",))
    yield Link("visual.positional_embedding", ("image.position",))
    if image.norm_pre:
        yield from layer("image.norm_pre", "visual.ln_pre")
    yield from _stack("image", image, "visual.transformer.resblocks")
    yield from layer("image.norm_post", "visual.ln_post")
    yield Link("visual.proj", ("image.projection",))


def _text(text: TextShape) -> Iterator[Link]:
    yield Link("token_embedding.weight", ("text.token_embedding",))
    yield Link("positional_embedding", ("text.position",))
    yield from _stack("text", text, "transformer.resblocks")
    yield from layer("text.norm_final", "ln_final")
    if not text.projection_bias:
        yield Link("text_projection", ("text.projection",))
        return
    yield Link("text_projection.weight", ("text.projection",), turned=True)
    yield Link("text_projection.bias", ("text.projection_bias",))


def _stack(tower: str, shape: TowerShape, theirs: str) -> Iterator[Link]:
    for number in range(len(shape.blocks)):
        mine, block = f"{tower}.blocks.{number}", f"{theirs}.{number}"
        yield from packed(f"{mine}.attention", QKV, f"{block}.attn.in_proj_")
        for ours, name in BLOCK.items():
            yield from layer(f"{mine}.{ours}", f"{block}.{name}")
        if shape.layer_scale:
            yield Link(f"{block}.ls_1.gamma", (f"{mine}.scale_1",))
            yield Link(f"{block}.ls_2.gamma", (f"{mine}.scale_2",))


def _trunk(image: ImageShape) -> Iterator[Link]:
    """timm's vision transformer with an attention pool."""
    yield Link(f"{TRUNK}.patch_embed.proj.weight", ("image.patch",))
    if image.patch_bias:
        yield Link(f"{TRUNK}.patch_embed.proj.bias", ("image.patch_bias",))
    yield Link(f"{TRUNK}.pos_embed", ("image.position",), lead=1)
    if image.norm_pre:
        yield from layer("image.norm_pre", f"{TRUNK}.norm_pre")
    for number in range(len(image.blocks)):
        mine, block = f"image.blocks.{number}", f"{TRUNK}.blocks.{number}"
        yield from packed(f"{mine}.attention", QKV, f"{block}.attn.qkv.")
        for ours, name in TIMM_BLOCK.items():
            yield from layer(f"{mine}.{ours}", f"{block}.{name}")
        if image.layer_scale:
            yield Link(f"{block}.ls1.gamma", (f"{mine}.scale_1",))
            yield Link(f"{block}.ls2.gamma", (f"{mine}.scale_2",))
    yield from layer("image.norm_post", f"{TRUNK}.norm")
    pool = f"{TRUNK}.attn_pool"
    yield Link(f"{pool}.latent", ("image.pool.latent",), lead=2)
    yield from packed("image.pool.attention", QKV[1:], f"{pool}.kv.")
    for ours, name in TIMM_POOL.items():
        yield from layer(f"image.pool.{ours}", f"{pool}.{name}")
