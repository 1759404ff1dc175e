"""open_clip's models: configuration and weights, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from ...model.clip import Clip
from ...model.preprocess import Preprocess
from ...model.weights import fill
from ..names import OPENCLIP, check_names, outline, plain_names
from . import keymap
from .config import shape_of
from .write_config import config_of

# entries of a checkpoint that are not weights
BUFFERS = ("attn_mask", "input_resolution", "context_length", "vocab_size")
SCALARS = ("logit_scale", "logit_bias")
# of these only OpenAI's own archives hold all three
OPENAI = {"input_resolution", "context_length", "vocab_size"}


def from_openclip(
    cfg: Mapping[str, Any], state: Mapping[str, Tensor], where: str = "open_clip"
) -> Clip:
    """Our model of an open_clip configuration and state dict.

    Raises:
        UserError: an unsupported switch, or weights that do not fit.
    """
    shape = shape_of(cfg, where)
    own = keymap.to_openclip(outline(shape, where).state_dict(), shape)
    plain = plain_names(state, own, where)
    if OPENAI <= plain.keys() and not cfg.get("quick_gelu"):
        raise UserError(
            where,
            "is OpenAI's, trained with quick-GELU, which the architecture named has "
            "not",
            "Write the name with -quickgelu",
        )
    weights = _weights(plain)
    if cfg["text_cfg"].get("proj_type") == "none":
        # the text embedding is the joint one; a student's need not be
        weights["text_projection"] = torch.eye(shape.embed_dim)
    check_names(
        own, weights, where, OPENCLIP
    )  # by open_clip's names: the file has them
    model = Clip(shape)
    fill(model, keymap.from_openclip(weights, shape), where)
    return model.eval()


def to_openclip(model: Clip) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights as stock open_clip takes them.

    Raises:
        UserError: no stock configuration holds the model.
    """
    cfg = config_of(model.shape)
    weights = keymap.to_openclip(model.state_dict(), model.shape)
    if cfg.get("custom_text"):
        image = (*SCALARS, "visual")
        weights = {
            name if name.startswith(image) else f"text.{name}": value
            for name, value in weights.items()
        }
    return cfg, weights


def _weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a state dict under `CLIP`'s names, the scalars without axes."""
    plain = {name.removeprefix("text."): value for name, value in state.items()}
    weights = {name: value for name, value in plain.items() if name not in BUFFERS}
    for name in SCALARS:
        if name in weights and weights[name].numel() == 1:
            weights[name] = weights[name].reshape(())  # some are stored as (1,)
    return weights


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
    """open_clip's settings of our preprocess; it takes the size from the model."""
    from open_clip.transform import PreprocessCfg

    fields = asdict(PreprocessCfg()).keys() - {"size"}
    return {k: v for k, v in preprocess.to_dict().items() if k in fields}
