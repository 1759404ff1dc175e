"""Our parameter names and open_clip's: one list of links, read in both directions.

Legend: D embed, N tokens, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...shapes import ClipShape, ImageShape, TextShape, TowerShape

NORM = ("weight", "bias")
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


@dataclass(frozen=True)
class Link:
    """One tensor of theirs and what it is of ours.

    Args:
        ours: several, where theirs packs them along its first axis.
        lead: axes of length 1 that theirs has in front.
        turned: theirs is the transpose.
    """

    theirs: str
    ours: tuple[str, ...]
    lead: int = 0
    turned: bool = False

    def read(self, theirs: Tensor) -> dict[str, Tensor]:
        """Our tensors of theirs: views of it."""
        value = theirs.reshape(theirs.shape[self.lead :])
        value = value.T if self.turned else value
        parts = value.chunk(len(self.ours)) if len(self.ours) > 1 else (value,)
        return dict(zip(self.ours, parts, strict=True))

    def write(self, ours: Mapping[str, Tensor]) -> Tensor:
        """Their tensor of ours."""
        parts = [ours[name] for name in self.ours]
        value = torch.cat(parts) if len(parts) > 1 else parts[0]
        value = value.T if self.turned else value
        return value.reshape((1,) * self.lead + tuple(value.shape)).contiguous()


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
    ours: dict[str, Tensor] = {}
    for link in links(shape):
        ours.update(link.read(theirs[link.theirs]))
    return ours


def to_openclip(ours: Mapping[str, Tensor], shape: ClipShape) -> dict[str, Tensor]:
    """Our tensors under open_clip's names."""
    return {link.theirs: link.write(ours) for link in links(shape)}


def _pair(ours: str, theirs: str) -> Iterator[Link]:
    """A layer with a weight and a bias."""
    for kind in NORM:
        yield Link(f"{theirs}.{kind}", (f"{ours}.{kind}",))


def _image(image: ImageShape) -> Iterator[Link]:
    """open_clip's own vision transformer."""
    yield Link("visual.conv1.weight", ("image.patch",))
    yield Link("visual.class_embedding", ("image.class_embedding",))
    yield Link("visual.positional_embedding", ("image.position",))
    if image.norm_pre:
        yield from _pair("image.norm_pre", "visual.ln_pre")
    yield from _stack("image", image, "visual.transformer.resblocks")
    yield from _pair("image.norm_post", "visual.ln_post")
    yield Link("visual.proj", ("image.projection",))


def _text(text: TextShape) -> Iterator[Link]:
    yield Link("token_embedding.weight", ("text.token_embedding",))
    yield Link("positional_embedding", ("text.position",))
    yield from _stack("text", text, "transformer.resblocks")
    yield from _pair("text.norm_final", "ln_final")
    if not text.projection_bias:
        yield Link("text_projection", ("text.projection",))
        return
    yield Link("text_projection.weight", ("text.projection",), turned=True)
    yield Link("text_projection.bias", ("text.projection_bias",))


def _stack(tower: str, shape: TowerShape, theirs: str) -> Iterator[Link]:
    for layer in range(len(shape.blocks)):
        mine, block = f"{tower}.blocks.{layer}", f"{theirs}.{layer}"
        for kind in NORM:
            packed = tuple(f"{mine}.attention.{part}.{kind}" for part in QKV)
            yield Link(f"{block}.attn.in_proj_{kind}", packed)
        for ours, name in BLOCK.items():
            yield from _pair(f"{mine}.{ours}", f"{block}.{name}")
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
        yield from _pair("image.norm_pre", f"{TRUNK}.norm_pre")
    for layer in range(len(image.blocks)):
        mine, block = f"image.blocks.{layer}", f"{TRUNK}.blocks.{layer}"
        for kind in NORM:
            packed = tuple(f"{mine}.attention.{part}.{kind}" for part in QKV)
            yield Link(f"{block}.attn.qkv.{kind}", packed)
        for ours, name in TIMM_BLOCK.items():
            yield from _pair(f"{mine}.{ours}", f"{block}.{name}")
        if image.layer_scale:
            yield Link(f"{block}.ls1.gamma", (f"{mine}.scale_1",))
            yield Link(f"{block}.ls2.gamma", (f"{mine}.scale_2",))
    yield from _pair("image.norm_post", f"{TRUNK}.norm")
    pool = f"{TRUNK}.attn_pool"
    yield Link(f"{pool}.latent", ("image.pool.latent",), lead=2)
    for kind in NORM:
        packed = tuple(f"image.pool.attention.{part}.{kind}" for part in QKV[1:])
        yield Link(f"{pool}.kv.{kind}", packed)
    for ours, name in TIMM_POOL.items():
        yield from _pair(f"image.pool.{ours}", f"{pool}.{name}")
