"""The configuration of Hugging Face's CLIPModel and SiglipModel, in; `write_config.py`
has the way out, by the tables here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...bounds import (
    LAYERS,
    PIXELS,
    WIDTH,
    Bounds,
    check_number,
    check_shape,
    read_shape,
)
from ...errors import UserError
from ...shapes import (
    BlockShape,
    ClipShape,
    ImageShape,
    TextShape,
    TowerShape,
)
from ...tokenizers.files import quiet_configs

ACTIVATION = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
}
THEIR_ACTIVATION = {ours: theirs for theirs, ours in ACTIVATION.items()}
CLASSES = {"clip": "CLIPModel", "siglip": "SiglipModel"}
OURS = "tinyclip"  # the model_type of an export that brings its own code
SUPPORTED = "Supported are CLIPModel and SiglipModel; docs/models.md lists them"
# why the next of kin are none of them
REFUSED = {
    "siglip2": "takes pictures of any proportion (NaFlex), whose patches are no fixed "
    "grid; SigLIP 2 of a fixed resolution, such as "
    "google/siglip2-base-patch16-224, is supported",
    "chinese_clip": "has a BERT for its text tower",
    "altclip": "has an XLM-RoBERTa for its text tower",
    "vision-text-dual-encoder": "joins two towers of any kind",
    "clipseg": "segments pictures",
    "align": "has an EfficientNet for its image tower",
    "clip_vision_model": "is an image tower alone",
    "siglip_vision_model": "is an image tower alone",
    "clip_text_model": "is a text tower alone",
    "siglip_text_model": "is a text tower alone",
}
LEGACY_EOS = 2  # a mistake of the first configurations, which pool the largest id


NUMBERS = {  # of either tower; nothing is built before these are checked
    "num_hidden_layers": LAYERS,
    "hidden_size": WIDTH,
    "num_attention_heads": WIDTH,
    "intermediate_size": (1, 4 * WIDTH[1]),
}


def shape_of(config: Mapping[str, Any], where: str) -> ClipShape:
    """The shape that a transformers configuration describes.

    Raises:
        UserError: it is of another architecture, or has a switch that ours lack.
    """
    kind = str(config.get("model_type", ""))[:40]
    if kind == OURS:
        return _our_shape(config, where)
    _check_kind(kind, config, where)
    read = _defaults(kind, config, where)
    image, text = read.vision_config, read.text_config
    for name, tower in (("vision_config", image), ("text_config", text)):
        _check_tower(tower, f"{where}: {name}")
    if image.num_channels != 3:
        raise UserError(where, f"takes pictures of {image.num_channels} channels")
    make = _siglip if kind == "siglip" else _clip
    try:
        return check_shape(make(read, where))
    except ValueError as error:
        raise UserError(where, str(error), "Correct the configuration") from None


def _our_shape(config: Mapping[str, Any], where: str) -> ClipShape:
    """The shape that an export with its own code states.

    Raises:
        UserError: it states none.
    """
    try:
        return read_shape(config)
    except ValueError as error:
        raise UserError(
            where,
            f"its config.json does not describe a model ({error!r})",
            "Export the model again",
        ) from None


def _check_kind(kind: str, config: Mapping[str, Any], where: str) -> None:
    """Refuse every other architecture."""
    named = config.get("architectures")
    if named is None or named == []:
        named = [CLASSES.get(kind, kind)]
    if not isinstance(named, list) or not all(isinstance(n, str) for n in named):
        raise UserError(where, f"architectures is {str(named)[:40]!r}, not names")
    if kind in CLASSES and CLASSES[kind] in named:
        return
    what = REFUSED.get(kind, "is not supported")
    if kind in CLASSES:
        what = "is not supported: it is no pair of an image and a text tower"
    shown = named[0] if named[0] else "a model that does not say its model_type"
    raise UserError(where, f"{shown} {what}", SUPPORTED)


def _defaults(kind: str, config: Mapping[str, Any], where: str) -> Any:
    """The configuration with transformers' own values for what it leaves out."""
    from transformers import CLIPConfig, SiglipConfig

    try:
        config_class = SiglipConfig if kind == "siglip" else CLIPConfig
        with quiet_configs():
            return config_class.from_dict(dict(config))
    except Exception as error:  # transformers checks types with errors of its own
        first = str(error).strip().splitlines()[0][:200]
        raise UserError(
            where, f"config.json is not of a {CLASSES[kind]} ({first})"
        ) from None


def _check_tower(tower: Any, where: str) -> None:
    for name, bounds in NUMBERS.items():
        _check(where, name, getattr(tower, name), bounds)
    if tower.hidden_act not in ACTIVATION:
        raise UserError(
            where,
            f"hidden_act {str(tower.hidden_act)[:40]!r} is not supported",
            f"Supported: {', '.join(ACTIVATION)}",
        )
    if tower.hidden_size % tower.num_attention_heads:
        raise UserError(
            where,
            f"{tower.num_hidden_layers} layers, width {tower.hidden_size} and "
            f"{tower.num_attention_heads} heads are no transformer",
        )


def _common(tower: Any) -> dict[str, Any]:
    """What both towers of both families have."""
    block = BlockShape(heads=tower.num_attention_heads, ffn=tower.intermediate_size)
    return {
        "width": tower.hidden_size,
        "head_width": tower.hidden_size // tower.num_attention_heads,
        "blocks": (block,) * tower.num_hidden_layers,
        "activation": ACTIVATION[tower.hidden_act],
        "eps": tower.layer_norm_eps,
    }


def tower_config(tower: TowerShape) -> dict[str, Any]:
    """What `_common` reads, of a uniform tower: the other way."""
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.blocks[0].ffn,
        "num_hidden_layers": len(tower.blocks),
        "num_attention_heads": tower.blocks[0].heads,
        "hidden_act": THEIR_ACTIVATION[tower.activation],
        "layer_norm_eps": tower.eps,
    }


def _grid(image: Any, where: str) -> dict[str, Any]:
    """Sides of picture and patch, which transformers also takes as pairs."""
    sides_px = {}
    for name in ("image_size", "patch_size"):
        value = getattr(image, name)
        side, *others = value if isinstance(value, list | tuple) and value else [value]
        if any(other != side for other in others):
            raise UserError(where, f"{name} {value!r} is not square")
        _check(where, name, side, PIXELS)
        sides_px[name] = side
    return sides_px


def _check(where: str, name: str, value: Any, bounds: Bounds) -> None:
    """Refuse a number before anything follows from it.

    Raises:
        UserError: it is out of bounds.
    """
    try:
        check_number(name, value, bounds)
    except ValueError as error:
        raise UserError(where, str(error), "Correct the configuration") from None


def _clip(read: Any, where: str) -> ClipShape:
    image, text = read.vision_config, read.text_config
    eos = text.eos_token_id
    if not isinstance(eos, int):
        raise UserError(where, f"eos_token_id {eos!r} is not one id")
    pool: dict[str, Any] = {"pool": "argmax"}
    if eos != LEGACY_EOS:
        pool = {"pool": "eos", "eos_id": eos}
    return ClipShape(
        embed_dim=read.projection_dim,
        image=ImageShape(**_common(image), **_grid(image, where)),
        text=TextShape(
            **_common(text),
            **pool,
            context_length=text.max_position_embeddings,
            vocab_size=text.vocab_size,
        ),
    )


def _siglip(read: Any, where: str) -> ClipShape:
    image, text = read.vision_config, read.text_config
    if not image.vision_use_head:
        raise UserError(
            where,
            "vision_use_head is false: without its attention pool the image tower has "
            "no one feature",
        )
    if text.projection_size != image.hidden_size:
        raise UserError(
            where,
            f"text features of {text.projection_size} and image features of "
            f"{image.hidden_size} numbers have no products",
        )
    common = _common(image)
    return ClipShape(
        embed_dim=image.hidden_size,
        logit_bias=True,
        image=ImageShape(
            **common,
            **_grid(image, where),
            class_token=False,
            patch_bias=True,
            norm_pre=False,
            pool="map",
            pool_block=common["blocks"][0],
            projection=False,
        ),
        text=TextShape(
            **_common(text),
            context_length=text.max_position_embeddings,
            vocab_size=text.vocab_size,
            causal=False,
            pool="last",
            projection_bias=True,
        ),
    )
