"""Our parameter names and open_clip's: one table, read in both directions.

Legend: D embed, I heads × head width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..shapes import ClipShape

# ours -> theirs, where a tensor only changes its name
IMAGE = {
    "image.patch": "visual.conv1.weight",
    "image.class_embedding": "visual.class_embedding",
    "image.position": "visual.positional_embedding",
    "image.projection": "visual.proj",
    "image.norm_pre.weight": "visual.ln_pre.weight",
    "image.norm_pre.bias": "visual.ln_pre.bias",
    "image.norm_post.weight": "visual.ln_post.weight",
    "image.norm_post.bias": "visual.ln_post.bias",
}
TEXT = {
    "text.token_embedding": "token_embedding.weight",
    "text.position": "positional_embedding",
    "text.projection": "text_projection",
    "text.norm_final.weight": "ln_final.weight",
    "text.norm_final.bias": "ln_final.bias",
}
BLOCK = {
    "norm_1": "ln_1",
    "attention.out": "attn.out_proj",
    "norm_2": "ln_2",
    "ffn.up": "mlp.c_fc",
    "ffn.down": "mlp.c_proj",
}
STACKS = {"image": "visual.transformer.resblocks", "text": "transformer.resblocks"}
PACKED = ("q", "k", "v")  # one after the other in open_clip's in_proj


def pairs(shape: ClipShape) -> Iterator[tuple[str, str]]:
    """Every tensor that only changes its name, as (ours, theirs)."""
    yield "logit_scale", "logit_scale"
    yield from {**IMAGE, **TEXT}.items()
    for tower, stack in STACKS.items():
        for layer in range(len(shape.towers()[tower].blocks)):
            for mine, theirs in BLOCK.items():
                for kind in ("weight", "bias"):
                    ours = f"{tower}.blocks.{layer}.{mine}.{kind}"
                    yield ours, f"{stack}.{layer}.{theirs}.{kind}"


def packed(shape: ClipShape) -> Iterator[tuple[list[str], str]]:
    """Every tensor that open_clip packs, as (our three, theirs)."""
    for tower, stack in STACKS.items():
        for layer in range(len(shape.towers()[tower].blocks)):
            for kind in ("weight", "bias"):
                start = f"{tower}.blocks.{layer}.attention"
                ours = [f"{start}.{part}.{kind}" for part in PACKED]
                yield ours, f"{stack}.{layer}.attn.in_proj_{kind}"


def from_openclip(theirs: Mapping[str, Tensor], shape: ClipShape) -> dict[str, Tensor]:
    """open_clip's tensors under our names; what is not known keeps its name.

    A tensor that is missing is left out: whoever fills the model says so.
    """
    left = dict(theirs)
    ours = {mine: left.pop(name) for mine, name in pairs(shape) if name in left}
    for names, name in packed(shape):
        # one that is not three equal parts stays, and is named as not fitting
        if name in left and left[name].ndim and left[name].shape[0] % 3 == 0:
            ours.update(zip(names, left.pop(name).chunk(3), strict=True))
    return {**ours, **left}


def to_openclip(ours: Mapping[str, Tensor], shape: ClipShape) -> dict[str, Tensor]:
    """Our tensors under open_clip's names."""
    theirs = {name: ours[mine] for mine, name in pairs(shape)}
    for names, name in packed(shape):
        theirs[name] = torch.cat([ours[part] for part in names])
    return theirs
