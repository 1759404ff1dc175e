"""open_clip's plain CLIP: its configuration and its weights, in and out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from ..errors import UserError
from ..model.clip import Clip
from ..model.preprocess import Preprocess
from ..model.store import fill
from ..shapes import (
    Activation,
    BlockShape,
    ClipShape,
    ImageShape,
    TextShape,
    TowerShape,
)
from . import keymap

TOP = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale"}
VISION = {"image_size", "layers", "width", "head_width", "patch_size", "mlp_ratio"}
TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
# keys that no default describes, and the values under which they change nothing
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "custom_text": (False, None),
    "init_logit_bias": (None,),
    "nonscalar_logit_scale": (False,),
    "tokenizer_kwargs": (None, {}),
    "block_type": (None, "default"),
}
# entries of a checkpoint that are not weights
BUFFERS = ("attn_mask", "input_resolution", "context_length", "vocab_size")


def refuse_unknown(
    cfg: Mapping[str, Any],
    known: set[str],
    defaults: Mapping[str, Any],
    where: str,
) -> None:
    """Refuse every switch that our towers do not have.

    Args:
        known: keys that a shape reads.
        defaults: open_clip's own value of every other key: it changes nothing.

    Raises:
        UserError: a key outside `known` has a value that changes the model.
    """
    for key, value in cfg.items():
        neutral = NEUTRAL.get(key, (defaults[key],) if key in defaults else ())
        if key in known or any(value == one for one in neutral):
            continue
        shown = f"{key}={value!r}" if not isinstance(value, Mapping) else key
        raise UserError(
            where,
            f"{shown} is not supported yet",
            "Supported are open_clip's plain ViT and text transformer",
        )


def square(value: Any, where: str) -> int:
    """The side of a picture or patch, which open_clip also takes as a pair.

    Raises:
        UserError: it is not square.
    """
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(set(sides)) != 1:
        raise UserError(where, f"{value!r} is not square, which is not supported yet")
    return int(sides[0])


def shape_of(cfg: Mapping[str, Any], where: str) -> ClipShape:
    """The shape that an open_clip model configuration describes.

    Raises:
        UserError: it has a switch that is not supported.
    """
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    vision = {**asdict(CLIPVisionCfg()), **cfg["vision_cfg"]}
    text = {**asdict(CLIPTextCfg()), **cfg["text_cfg"]}
    if isinstance(vision["layers"], list | tuple):
        raise UserError(where, "is a ResNet, which is not supported", "Use a ViT")
    refuse_unknown(cfg, TOP, {}, where)
    refuse_unknown(vision, VISION, asdict(CLIPVisionCfg()), f"{where}: vision_cfg")
    refuse_unknown(text, TEXT, asdict(CLIPTextCfg()), f"{where}: text_cfg")
    activation: Activation = "quick_gelu" if cfg.get("quick_gelu") else "gelu"
    image = ImageShape(
        width=vision["width"],
        head_width=vision["head_width"],
        blocks=_blocks(vision, vision["width"] // vision["head_width"]),
        activation=activation,
        image_size=square(vision["image_size"], f"{where}: image_size"),
        patch_size=square(vision["patch_size"], f"{where}: patch_size"),
    )
    words = TextShape(
        width=text["width"],
        head_width=text["width"] // text["heads"],
        blocks=_blocks(text, text["heads"]),
        activation=activation,
        context_length=text["context_length"],
        vocab_size=text["vocab_size"],
    )
    for name, tower in (("vision_cfg", image), ("text_cfg", words)):
        if not tower.is_uniform:
            raise UserError(
                f"{where}: {name}",
                f"width {tower.width} is no whole number of heads of "
                f"{tower.head_width}, or there is no layer",
            )
    return ClipShape(embed_dim=cfg["embed_dim"], image=image, text=words)


def _blocks(cfg: Mapping[str, Any], heads: int) -> tuple[BlockShape, ...]:
    # open_clip truncates
    ffn = int(cfg["width"] * cfg["mlp_ratio"])
    return (BlockShape(heads=heads, ffn=ffn),) * int(cfg["layers"])


def ratio_of(width: int, ffn: int) -> float:
    """The mlp_ratio for which `int(width * ratio)` is exactly `ffn`."""
    ratio = ffn / width
    while int(width * ratio) < ffn:
        ratio = math.nextafter(ratio, math.inf)
    return ratio


def config_of(shape: ClipShape) -> dict[str, Any]:
    """The open_clip model configuration of a uniform shape.

    Raises:
        UserError: the towers are ragged: no stock configuration holds them.
    """
    for name, tower in shape.towers().items():
        if not tower.is_uniform:
            raise UserError(
                "--to openclip",
                f"the {name} tower is ragged, and open_clip has no configuration for "
                "blocks that differ",
                "Compress with --layout uniform, or export --to safetensors",
            )
    image, text = shape.image, shape.text
    if image.activation != text.activation or {image.eps, text.eps} != {1e-5}:
        raise UserError(
            "--to openclip",
            "the towers' activations differ or a LayerNorm's eps is not 1e-5, which "
            "open_clip's configuration cannot say",
            "Export --to safetensors",
        )

    def common(tower: TowerShape) -> dict[str, Any]:
        return {
            "layers": len(tower.blocks),
            "width": tower.width,
            "mlp_ratio": ratio_of(tower.width, tower.blocks[0].ffn),
        }

    cfg: dict[str, Any] = {
        "embed_dim": shape.embed_dim,
        "vision_cfg": {
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "head_width": image.head_width,
            **common(image),
        },
        "text_cfg": {
            "context_length": text.context_length,
            "vocab_size": text.vocab_size,
            "heads": text.blocks[0].heads,
            **common(text),
        },
    }
    if image.activation == "quick_gelu":
        cfg["quick_gelu"] = True
    return cfg


def to_openclip(model: Clip) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights as stock open_clip takes them.

    Raises:
        UserError: the model is ragged.
    """
    cfg = config_of(model.shape)
    weights = keymap.to_openclip(model.state_dict(), model.shape)
    return cfg, {name: value.contiguous() for name, value in weights.items()}


def from_openclip(
    cfg: Mapping[str, Any], state: Mapping[str, Tensor], where: str = "open_clip"
) -> Clip:
    """Our model of an open_clip configuration and state dict.

    Raises:
        UserError: an unsupported switch, or weights that do not fit.
    """
    shape = shape_of(cfg, where)
    model = Clip(shape)
    named = {name.removeprefix("module."): value for name, value in state.items()}
    weights = {name: value for name, value in named.items() if name not in BUFFERS}
    scale = weights.get("logit_scale")
    if scale is not None and scale.numel() == 1:
        weights["logit_scale"] = scale.reshape(())  # some checkpoints store (1,)
    fill(model, keymap.from_openclip(weights, shape), where)
    return model.eval()


def preprocess_of(cfg: Mapping[str, Any], size: int) -> Preprocess:
    """Our preprocess of open_clip's settings, open_clip's defaults for the rest."""
    from open_clip.transform import PreprocessCfg

    merged = {
        **asdict(PreprocessCfg()),
        **{k: v for k, v in cfg.items() if v is not None},
    }
    return Preprocess(
        size=size,
        mean=tuple(merged["mean"]),
        std=tuple(merged["std"]),
        interpolation=merged["interpolation"],
        resize_mode=merged["resize_mode"],
        fill_color=merged["fill_color"],
    )


def preprocess_cfg(preprocess: Preprocess) -> dict[str, Any]:
    """open_clip's settings of our preprocess."""
    return {k: v for k, v in preprocess.to_dict().items() if k != "size"}
