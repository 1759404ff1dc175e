"""The processor of an export to Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import UserError
from ...model.preprocess import Preprocess
from .processor import INTERPOLATION

RESAMPLE = {name: number for number, name in INTERPOLATION.items()}
RESAMPLE["random"] = RESAMPLE["bicubic"]


def refuse_padding(preprocess: Preprocess) -> None:
    """Refuse what no image processor of transformers does.

    Raises:
        UserError: pictures are padded to a square.
    """
    if preprocess.resize_mode == "longest":
        raise UserError(
            "--to huggingface",
            "the model's pictures are padded to a square (resize_mode longest), and no "
            "CLIP image processor of transformers does that",
            "Export --to openclip (uniform) or --to safetensors",
        )


def write_processor(
    preprocess: Preprocess, tokenizer: Any, folder: Path, *, siglip: bool
) -> None:
    """Write what `AutoProcessor` and `AutoImageProcessor` read.

    Args:
        tokenizer: of transformers.
        siglip: whether SigLIP's processor goes with the model, else CLIP's.
    """
    from transformers import (
        CLIPImageProcessorPil,
        CLIPProcessor,
        SiglipImageProcessorPil,
        SiglipProcessor,
    )

    side = preprocess.size
    square = {"height": side, "width": side}
    settings: dict[str, Any] = {
        "resample": RESAMPLE[preprocess.interpolation],
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
    }
    images: Any
    if preprocess.resize_mode == "shortest":
        shortest = {"shortest_edge": side}
        images = CLIPImageProcessorPil(size=shortest, crop_size=square, **settings)
    elif siglip:
        images = SiglipImageProcessorPil(size=square, **settings)
    else:
        images = CLIPImageProcessorPil(size=square, do_center_crop=False, **settings)
    kind = SiglipProcessor if siglip else CLIPProcessor
    kind(images, tokenizer).save_pretrained(folder)


def read_processor(folder: Path) -> Any:
    """The processor of a folder, on Pillow as in training."""
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(
        str(folder), backend="pil", local_files_only=True, trust_remote_code=False
    )
