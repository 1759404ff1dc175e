"""The `config.json` of an export to Hugging Face: a stock class's, or our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...shapes import ClipShape, ImageShape, TextShape, shape_to_dict
from .config import CLASSES, LEGACY_EOS, OURS, tower_config

# the modules that are copied beside a model of our own class
CODE = ("configuration_tinyclip", "towers_tinyclip", "modeling_tinyclip")


def family_of(shape: ClipShape, ids: Mapping[str, int | None]) -> str | None:
    """`clip` or `siglip` where the stock class says all of a shape, else None.

    Args:
        ids: `bos`, `eos`, `pad` of the tokenizer, and `largest`, the last of its ids.
    """
    image, text = shape.image, shape.text
    towers = (image, text)
    if not all(t.is_uniform and not (t.layer_scale or t.rotated) for t in towers):
        return None
    if any(block.dims != t.head_width for t in towers for block in t.blocks):
        return None  # stock attention divides scores by the root of the dims
    if _clip_image(image) and _clip_text(text, ids) and not shape.logit_bias:
        return "clip"
    if _siglip_image(image) and _siglip_text(text) and shape.logit_bias:
        return "siglip"
    return None


def _clip_image(image: ImageShape) -> bool:
    return (
        image.pool == "class"
        and image.class_token
        and image.norm_pre
        and image.projection
        and not image.projection_bias
        and not image.patch_bias
    )


def _clip_text(text: TextShape, ids: Mapping[str, int | None]) -> bool:
    """CLIPModel pools the first end-of-text; our argmax is the same where no id is
    larger."""
    if not text.causal or text.projection_bias:
        return False
    if text.pool == "eos":
        return text.eos_id not in (None, LEGACY_EOS)
    return text.pool == "argmax" and ids["eos"] is not None and _is_largest(ids)


def _is_largest(ids: Mapping[str, int | None]) -> bool:
    return ids["eos"] in (ids["largest"], LEGACY_EOS)


def _siglip_image(image: ImageShape) -> bool:
    return (
        image.pool == "map"
        and image.patch_bias
        and not image.class_token
        and not image.norm_pre
        and not image.projection
    )


def _siglip_text(text: TextShape) -> bool:
    return text.pool == "last" and not text.causal and text.projection_bias


def stock_config(
    shape: ClipShape, family: str, ids: Mapping[str, int | None]
) -> dict[str, Any]:
    """`config.json` of `CLIPModel` or `SiglipModel`."""
    image, text = shape.image, shape.text
    eos = text.eos_id if text.pool == "eos" else ids["eos"]
    vision_config = {
        "model_type": f"{family}_vision_model",
        "image_size": image.image_size,
        "patch_size": image.patch_size,
        "num_channels": 3,
        **tower_config(image),
    }
    text_config = {
        "model_type": f"{family}_text_model",
        "max_position_embeddings": text.context_length,
        "vocab_size": text.vocab_size,
        # without them transformers takes those of the 49,408 vocabulary, and pools
        # another token
        "bos_token_id": ids["bos"],
        "eos_token_id": eos,
        "pad_token_id": ids["pad"],
        **tower_config(text),
    }
    if family == "clip":
        vision_config["projection_dim"] = shape.embed_dim
        text_config["projection_dim"] = shape.embed_dim
        top = {"projection_dim": shape.embed_dim}
    else:
        text_config["projection_size"] = shape.embed_dim
        top = {}
    return {
        "model_type": family,
        "architectures": [CLASSES[family]],
        "dtype": "float32",
        **top,
        "vision_config": vision_config,
        "text_config": text_config,
    }


def custom_config(shape: ClipShape, pad_id: int | None) -> dict[str, Any]:
    """`config.json` of the model in `modeling_tinyclip.py`: the shape, and where its
    classes are.

    Args:
        pad_id: fills captions on the right; None where they are filled on the left.
    """
    model = "modeling_tinyclip.TinyclipModel"
    return {
        "model_type": OURS,
        "architectures": ["TinyclipModel"],
        "auto_map": {
            "AutoConfig": "configuration_tinyclip.TinyclipConfig",
            "AutoModel": model,
            "AutoModelForZeroShotImageClassification": model,
        },
        "dtype": "float32",
        "pad_token_id": pad_id,
        **shape_to_dict(shape),
    }
