"""timm's vision transformers with an attention pool, as open_clip's SigLIP uses them.

Nothing is known here by a model's name: its widths and switches are read from the
model that timm builds, on the meta device, where it takes no memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ...errors import UserError, nearest
from ...shapes import Activation, BlockShape, ClipShape, ImageShape, TextShape
from . import keymap

LISTED = "docs/models.md lists what is supported"
# of timm's own modules: what they define, as a user may know it
FAMILIES = {
    "convnext": "a ConvNeXt: convolutions, no attention heads",
    "eva": "of the EVA kind (EVA, PE-Core): rotary positions or another attention",
    "fastvit": "a FastViT (MobileCLIP): mostly convolutions",
    "swin_transformer": "a Swin transformer: attention in windows, widths that grow",
    "vision_transformer_hybrid": "a hybrid (MobileCLIP-B): convolutions come first",
    "vision_transformer_relpos": "a transformer with relative positions",
    "vitamin": "a ViTamin: convolutions come first",
}
# classes that our image tower computes exactly; what is switched off is an Identity
PLAIN = {
    "VisionTransformer",
    "PatchEmbed",
    "Conv2d",
    "Sequential",
    "Block",
    "LayerNorm",
    "Attention",
    "Linear",
    "LayerScale",
    "Mlp",
    "AttentionPoolLatent",
    "Identity",
    # these do something in training only
    "Dropout",
    "DropPath",
    "PatchDropout",
}
ACTIVATIONS: dict[str, Activation] = {
    "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu",
}


def entry_of(name: str, where: str) -> Callable[..., nn.Module]:
    """The function that builds a timm model.

    Raises:
        UserError: timm has no such model, or it is of a family that ours is not.
    """
    from timm.models import is_model, list_models, model_entrypoint

    # a name with a hub before it would be downloaded
    if ":" in name or not is_model(name):
        raise UserError(
            where, f"timm has no model {name!r}", nearest(name, list_models())
        )
    entry: Callable[..., nn.Module] = model_entrypoint(name)
    family = FAMILIES.get(entry.__module__.removeprefix("timm.models."))
    if family is not None:
        raise _unsupported(where, family)
    return entry


def trunk_shape(name: str, where: str) -> ImageShape:
    """The image tower that `timm_model_name` stands for, without a projection.

    Raises:
        UserError: timm has no such model, or ours cannot be it.
    """
    shape = _built(entry_of(name, where), name)
    if isinstance(shape, str):
        raise _unsupported(where, shape)
    return shape


def _unsupported(where: str, what: str) -> UserError:
    return UserError(where, f"is not supported: its image tower is {what}", LISTED)


def stock_trunk(image: ImageShape) -> str | None:
    """The name of the timm model that is this image tower, or None."""
    for name in _candidates():
        try:
            if trunk_shape(name, "") == image:
                return name
        except UserError:
            continue
    return None


def _candidates() -> Iterator[str]:
    """timm's SigLIP towers, then whatever open_clip's configurations name."""
    import open_clip
    from timm.models import list_models

    yield from list_models("*siglip*", exclude_filters="*gap*")
    for name in open_clip.list_models():
        vision: Mapping[str, Any] = open_clip.get_model_config(name)["vision_cfg"]
        if (vision.get("timm_pool"), vision.get("timm_proj")) == ("map", "none"):
            yield vision["timm_model_name"]


@functools.lru_cache(maxsize=64)
def _built(entry: Callable[..., nn.Module], name: str) -> ImageShape | str:
    """The shape of a timm model, or in words what is foreign about it.

    Args:
        entry: the function behind the name: one that is registered anew is built anew.
    """
    import timm

    try:
        # weights are not initialised: on the meta device there are none
        with torch.device("meta"):
            trunk = timm.create_model(
                name, num_classes=0, global_pool="map", weight_init="skip"
            )
    except Exception as error:  # whatever timm's or the user's function raises
        why = f"{type(error).__name__}: {error}"
        return f"a {name}, which timm cannot build with an attention pool ({why})"
    foreign = sorted(_foreign_classes(trunk))
    if foreign:
        return f"a {name}, whose {', '.join(foreign)} ours lack"
    try:
        shape = _shape_of(trunk)
    except (AttributeError, ValueError) as error:
        return f"a {name} that is no plain transformer ({error})"
    stored = {f"visual.trunk.{k}": v.shape for k, v in trunk.state_dict().items()}
    if stored != _expected(shape):
        return f"a {name}, whose weights are not those of a plain transformer"
    return shape


def _foreign_classes(trunk: nn.Module) -> set[str]:
    """Classes of its modules that ours do not compute."""
    kinds = {type(module).__name__ for module in trunk.modules()}
    return kinds - PLAIN - ACTIVATIONS.keys() - {"GELU"}


def _shape_of(trunk: Any) -> ImageShape:
    """The shape of a plain vision transformer.

    Raises:
        ValueError: it has a switch that ours lacks.
    """
    block, pool, patch = trunk.blocks[0], trunk.attn_pool, trunk.patch_embed
    if trunk.num_prefix_tokens:
        raise ValueError("class or register tokens beside an attention pool")
    if pool.latent_len != 1:
        raise ValueError("an attention pool of several queries")
    if len(set(patch.img_size)) != 1 or len(set(patch.patch_size)) != 1:
        raise ValueError("pictures or patches that are not square")
    if pool.head_dim != block.attn.head_dim:
        raise ValueError("an attention pool with another head width")
    norms = {m.eps for m in trunk.modules() if isinstance(m, nn.LayerNorm)}
    mlps = [m.mlp for m in (*trunk.blocks, pool)]
    activations = {_activation(mlp.act) for mlp in mlps}
    if len(norms) != 1 or len(activations) != 1:
        raise ValueError("several kinds of LayerNorm or activation")
    return ImageShape(
        width=trunk.embed_dim,
        head_width=block.attn.head_dim,
        blocks=tuple(_block(b.attn.num_heads, b.mlp) for b in trunk.blocks),
        activation=activations.pop(),
        eps=norms.pop(),
        layer_scale=not isinstance(block.ls1, nn.Identity),
        image_size=patch.img_size[0],
        patch_size=patch.patch_size[0],
        class_token=False,
        patch_bias=patch.proj.bias is not None,
        norm_pre=not isinstance(trunk.norm_pre, nn.Identity),
        pool="map",
        pool_block=_block(pool.num_heads, pool.mlp),
        projection=False,
    )


def _block(heads: int, mlp: Any) -> BlockShape:
    return BlockShape(heads=heads, ffn=mlp.fc1.out_features)


def _activation(module: nn.Module) -> Activation:
    kind = type(module).__name__
    if kind in ACTIVATIONS:
        return ACTIVATIONS[kind]
    exact = getattr(module, "approximate", "none") == "none"
    return "gelu" if exact else "gelu_tanh"


def _expected(image: ImageShape) -> dict[str, torch.Size]:
    """Names and shapes of the tensors that timm stores for this tower."""
    from ...model.clip import Clip

    block = BlockShape(heads=1, ffn=1)
    text = TextShape(
        width=1, head_width=1, blocks=(block,), context_length=1, vocab_size=1
    )
    shape = ClipShape(embed_dim=image.width, image=image, text=text)
    with torch.device("meta"):
        theirs = keymap.to_openclip(Clip(shape).state_dict(), shape)
    return {k: v.shape for k, v in theirs.items() if k.startswith(keymap.TRUNK)}
