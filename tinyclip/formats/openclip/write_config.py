"""The open_clip configuration of a shape."""

from __future__ import annotations

import math
from typing import Any

from ...errors import UserError
from ...shapes import ClipShape, ImageShape, TextShape, TowerShape
from ..stock import POOL_APART
from .config import EPS, POOLS, TANH
from .trunk import stock_trunk

WHERE = "--to openclip"
OUT = "Export --to huggingface"
THEIR_POOL = {ours: theirs for theirs, ours in POOLS.items()}


def config_of(shape: ClipShape) -> dict[str, Any]:
    """The open_clip model configuration of a uniform shape.

    Raises:
        UserError: no stock configuration holds it; the message says the way out.
    """
    image, text = shape.image, shape.text
    if image.rotated and image.pool_block is not None:
        raise UserError(WHERE, POOL_APART, OUT)
    # of a tower by name no layout is configurable, so that is looked at first
    trunk = _trunk(image) if image.pool == "map" else None
    for name, tower in shape.towers().items():
        if trunk is not None and name == "image":
            continue
        if not tower.is_uniform:
            raise UserError(
                WHERE,
                f"the {name} tower is ragged, and open_clip has no configuration for "
                "blocks that differ",
                "Compress with --layout uniform, or export --to huggingface",
            )
        _check_blocks(name, tower)
    cfg: dict[str, Any] = {"embed_dim": shape.embed_dim}
    cfg["vision_cfg"] = trunk or _image(image)
    cfg["text_cfg"] = _text(text)
    if shape.logit_bias:
        cfg["init_logit_bias"] = 0.0  # the weights bring their own
    if trunk is not None:
        cfg["custom_text"] = True
    quick = {tower.activation == "quick_gelu" for tower in _towers_of_its_own(shape)}
    if quick == {True, False}:
        raise UserError(
            WHERE,
            "one tower has quick_gelu and the other has not, and open_clip has one "
            "switch for both",
            OUT,
        )
    return {**cfg, "quick_gelu": True} if quick == {True} else cfg


def _check_blocks(name: str, tower: TowerShape) -> None:
    """Refuse what open_clip's blocks compute otherwise."""
    if tower.rotated:
        what = "lies in a basis of its own, and open_clip has no RMSNorm"
        raise UserError(WHERE, f"the {name} tower {what}", OUT)
    if tower.blocks[0].dims != tower.head_width:
        what = "divides its scores by the root of dims that are gone"
        raise UserError(WHERE, f"the {name} tower {what}", OUT)


def _towers_of_its_own(shape: ClipShape) -> list[TowerShape]:
    """The towers that open_clip itself builds: timm's has its own activation."""
    return [shape.text] if shape.image.pool == "map" else [shape.image, shape.text]


def _trunk(image: ImageShape) -> dict[str, Any]:
    """timm's tower of these very widths.

    Raises:
        UserError: there is none.
    """
    name = stock_trunk(image)
    if name is None:
        raise UserError(
            WHERE,
            "open_clip takes an image tower with an attention pool (SigLIP) from timm "
            "by its name, and timm has none of these widths",
            OUT,
        )
    return {
        "image_size": image.image_size,
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    }


def _image(image: ImageShape) -> dict[str, Any]:
    """open_clip's own vision transformer.

    Raises:
        UserError: a switch that its configuration cannot say.
    """
    unsaid = {
        "no class token": not image.class_token,
        "a bias on its patches": image.patch_bias,
        "no projection": not image.projection,
        "a bias on its projection": image.projection_bias,
    }
    for what, here in unsaid.items():
        if here:
            raise UserError(
                WHERE,
                f"the image tower has {what}, which open_clip's configuration cannot "
                "say",
                OUT,
            )
    cfg = {
        "image_size": image.image_size,
        "patch_size": image.patch_size,
        "head_width": image.head_width,
        **_common(image),
    }
    if not image.norm_pre:
        cfg["no_ln_pre"] = True
    if image.pool == "mean":
        cfg["pool_type"] = THEIR_POOL[image.pool]
        cfg["final_ln_after_pool"] = image.norm_after_pool
    return cfg


def _text(text: TextShape) -> dict[str, Any]:
    cfg = {
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "heads": text.blocks[0].heads,
        **_common(text),
    }
    if not text.causal:
        cfg["no_causal_mask"] = True
    if text.pool != "argmax":
        cfg["pool_type"] = text.pool
    if text.pool == "eos":
        cfg["eos_id"] = text.eos_id
    if text.projection_bias:
        cfg["proj_bias"] = True
    return cfg


def _common(tower: TowerShape) -> dict[str, Any]:
    cfg: dict[str, Any] = {
        "layers": len(tower.blocks),
        "width": tower.width,
        "mlp_ratio": ratio_of(tower.width, tower.blocks[0].ffn),
    }
    if tower.layer_scale:
        cfg["ls_init_value"] = 1.0  # the weights bring their own
    if tower.activation == "gelu_tanh":
        cfg["act_kwargs"] = dict(TANH)
    if tower.eps != EPS:
        cfg["norm_kwargs"] = {"eps": tower.eps}
    return cfg


def ratio_of(width: int, ffn: int) -> float:
    """The mlp_ratio for which `int(width * ratio)` is exactly `ffn`."""
    ratio = ffn / width
    while int(width * ratio) < ffn:
        ratio = math.nextafter(ratio, math.inf)
    return ratio
