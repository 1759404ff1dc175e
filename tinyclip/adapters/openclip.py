"""open_clip's plain CLIP: its configuration and its weights, in and out."""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, nearest
from ..model.clip import Clip
from ..model.preprocess import Preprocess
from ..model.store import Loaded, fill, read_weights
from ..model.tokenizer import Tokenizer
from ..shapes import BlockShape, ClipShape, ImageShape, TextShape, TowerShape
from . import keymap

log = logging.getLogger("tinyclip")

TOP = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
IGNORED_TOP = {"init_logit_scale", "custom_text"}
VISION = {"image_size", "layers", "width", "head_width", "patch_size", "mlp_ratio"}
TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
# values under which a further key changes nothing
NEUTRAL = {
    "pool_type": ("tok", "argmax"),
    "pos_embed_type": ("learnable",),
    "patch_dropout": (0, 0.0),
    "proj_type": ("linear",),
    "pad_id": (0,),
    "eos_id": (2,),
    "tokenizer_kwargs": (None, {}),
    "timm_model_name": (None,),
}
# buffers of a checkpoint that are not weights
BUFFERS = ("attn_mask", "input_resolution", "context_length", "vocab_size")


def refuse_unknown(cfg: Mapping[str, Any], known: set[str], where: str) -> None:
    """Refuse every switch that our towers do not have.

    Raises:
        UserError: a key outside `known` has a value that changes the model.
    """
    for key, value in cfg.items():
        neutral = (*NEUTRAL.get(key, ()), None, False)
        if key in known or any(value == one for one in neutral):
            continue
        raise UserError(
            where,
            f"{key}={value!r} is not supported yet",
            "Supported are open_clip's plain ViT and text transformer",
        )


def shape_of(cfg: Mapping[str, Any], where: str) -> ClipShape:
    """The shape that an open_clip model configuration describes.

    Raises:
        UserError: it has a switch that is not supported.
    """
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    if isinstance(vision.get("layers"), list | tuple):
        raise UserError(where, "is a ResNet, which is not supported", "Use a ViT")
    refuse_unknown(cfg, TOP | IGNORED_TOP, where)
    refuse_unknown(vision, VISION, f"{where}: vision_cfg")
    refuse_unknown(text, TEXT, f"{where}: text_cfg")
    if cfg.get("custom_text"):
        raise UserError(where, "custom text towers are not supported yet")
    activation = "quick_gelu" if cfg.get("quick_gelu") else "gelu"
    width, head_width = vision.get("width", 768), vision.get("head_width", 64)
    text_width, text_heads = text.get("width", 512), text.get("heads", 8)

    def blocks(layers: int, heads: int, ffn: int) -> tuple[BlockShape, ...]:
        return (BlockShape(heads=heads, ffn=ffn),) * layers

    # open_clip truncates: int(width * ratio)
    image = ImageShape(
        width=width,
        head_width=head_width,
        blocks=blocks(
            vision.get("layers", 12),
            width // head_width,
            int(width * vision.get("mlp_ratio", 4.0)),
        ),
        activation=activation,  # type: ignore[arg-type]
        image_size=vision.get("image_size", 224),
        patch_size=vision.get("patch_size", 16),
    )
    words = TextShape(
        width=text_width,
        head_width=text_width // text_heads,
        blocks=blocks(
            text.get("layers", 12),
            text_heads,
            int(text_width * text.get("mlp_ratio", 4.0)),
        ),
        activation=activation,  # type: ignore[arg-type]
        context_length=text.get("context_length", 77),
        vocab_size=text.get("vocab_size", 49408),
    )
    return ClipShape(embed_dim=cfg["embed_dim"], image=image, text=words)


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
    weights = {
        name.removeprefix("module."): value
        for name, value in state.items()
        if name.removeprefix("module.") not in BUFFERS
    }
    fill(model, keymap.from_openclip(weights, shape), where)
    return model.eval()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights of a local checkpoint; nothing in it is ever run.

    Raises:
        UserError: it is missing, damaged, or a pickle that needs code.
    """
    if not path.is_file():
        raise UserError(str(path), "there is no such file")
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            str(path),
            f"is a pickle that needs code to load, or damaged ({first})",
            "Save its state dict as safetensors and name that file",
        ) from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(
        isinstance(value, Tensor) for value in found.values()
    ):
        raise UserError(str(path), "holds no state dict of tensors")
    return found


def preprocess_of(cfg: Mapping[str, Any]) -> Preprocess:
    """Our preprocess of open_clip's settings."""
    return Preprocess(
        size=cfg["size"],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        interpolation=cfg["interpolation"],
        resize_mode=cfg["resize_mode"],
        fill_color=cfg.get("fill_color", 0),
    )


def load_openclip(spec: str, where: str) -> Loaded:
    """A model of `NAME`, `NAME/TAG` or `NAME@FILE`.

    Raises:
        UserError: no such name, tag or file; no network; an unsupported model.
    """
    import open_clip

    name, at, file = spec.partition("@")
    name, _, tag = name.partition("/")
    if name not in open_clip.list_models():
        raise UserError(
            where,
            f"open_clip has no model {name!r}",
            nearest(name, open_clip.list_models()),
        )
    cfg = open_clip.get_model_config(name)
    shape = shape_of(cfg, f"openclip:{name}")  # refused before anything is read
    settings: dict[str, Any] = {}
    if at:
        model = from_openclip(cfg, read_checkpoint(Path(file)), file)
    elif tag:
        model, settings = _pretrained(name, tag, cfg, where)
    else:
        log.warning("openclip:%s: no tag and no file, so its weights are random", name)
        model = Clip(shape).init_weights(0).eval()
    plain = {
        "mean": Preprocess(1).mean,
        "std": Preprocess(1).std,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    preprocess = preprocess_of({**plain, **settings, "size": shape.image.image_size})
    tokenizer = Tokenizer(None, shape.text.context_length)
    return Loaded(
        model, preprocess, tokenizer, {"provenance": {"source": f"openclip:{spec}"}}
    )


def _pretrained(
    name: str, tag: str, cfg: Mapping[str, Any], where: str
) -> tuple[Clip, dict[str, Any]]:
    """The published weights behind a tag, and their preprocess settings."""
    import open_clip
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise UserError(where, f"{name} has no weights {tag!r}", nearest(tag, tags))
    found = get_pretrained_cfg(name, tag)
    try:
        path = download_pretrained(found)
    except Exception as error:  # whatever the network library raises
        raise UserError(
            where,
            f"the weights of {name}/{tag} cannot be had ({type(error).__name__})",
            f"Without a network, name a local file: openclip:{name}@FILE",
        ) from None
    model = from_openclip(cfg, read_checkpoint(Path(path)), str(path))
    keys = ("mean", "std", "interpolation", "resize_mode")
    return model, {key: found[key] for key in keys if found.get(key) is not None}
