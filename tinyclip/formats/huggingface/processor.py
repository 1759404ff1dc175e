"""transformers' image processor, told in our preprocess."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...model.preprocess import Preprocess

FILES = ("preprocessor_config.json", "processor_config.json")
INTERPOLATION = {2: "bilinear", 3: "bicubic"}  # PIL's numbers
UNITS = 1 / 255
SWITCHES = ("do_resize", "do_rescale", "do_normalize", "do_pad", "do_center_crop")
# those that do no more than their settings say
KNOWN = ("CLIPImageProcessor", "SiglipImageProcessor", "ViTImageProcessor")


def read_processor(folder: Path, size: int) -> Preprocess:
    """The preprocess that a model's directory describes.

    Its pixels are those of transformers' PIL backend; the torchvision one, which
    resizes by other code, differs from it by up to 0.015.

    Args:
        size: side of the pictures that the image tower takes, in pixels.

    Raises:
        UserError: there is none, or it does what our preprocess cannot.
    """
    if not any((folder / name).exists() for name in FILES):
        raise UserError(
            str(folder),
            f"does not say how pictures are prepared ({' or '.join(FILES)} is missing)",
            "Copy it from where the model comes from, or save the processor there",
        )
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(
            str(folder), backend="pil", local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises whatever it likes
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            str(folder), f"its image processor cannot be read ({first})"
        ) from None
    return preprocess_of(processor, size, str(folder))


def preprocess_of(processor: Any, size: int, where: str) -> Preprocess:
    """Our preprocess of a processor of transformers.

    Raises:
        UserError: it does what ours cannot.
    """

    def refuse(what: str) -> UserError:
        return UserError(where, f"the image processor {what}, which is not supported")

    def asked(name: str) -> Any:
        return getattr(processor, name, None)

    name = type(processor).__name__.removesuffix("Pil")
    if name not in KNOWN:
        raise refuse(f"is a {name}")
    for switch in SWITCHES:
        if asked(switch) not in (None, True, False):
            raise refuse(f"has a {switch} that is neither true nor false")
    if not asked("do_resize") or not asked("do_rescale"):
        raise refuse("does not resize pictures or does not divide them by 255")
    factor = asked("rescale_factor")
    if not isinstance(factor, float) or not math.isclose(factor, UNITS, rel_tol=1e-6):
        raise refuse(f"multiplies pixels by {str(factor)[:40]}")
    if asked("do_pad"):
        raise refuse("pads pictures")
    if not isinstance(asked("resample"), int) or asked("resample") not in INTERPOLATION:
        raise refuse(f"resizes with filter {str(asked('resample'))[:40]}")
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    if asked("do_normalize"):
        mean, std = _colours(asked("image_mean")), _colours(asked("image_std"))
    try:
        mode, side = _resizing(processor)
    except (TypeError, ValueError, AttributeError, KeyError):
        raise refuse("has sizes that are none") from None
    if side != size:
        raise refuse(f"makes pictures of {side}, where the tower takes {size} pixels")
    try:
        return Preprocess(
            size,
            mean=mean,  # type: ignore[arg-type]
            std=std,  # type: ignore[arg-type]
            interpolation=INTERPOLATION[int(asked("resample"))],
            resize_mode=mode,
            crop_rounding="floor" if mode == "shortest" else "even",
        )
    except ValueError as error:
        raise refuse(f"says that its {error}") from None


def _colours(value: Any) -> tuple[Any, ...]:
    """A number a colour; whether they are any, `Preprocess` checks."""
    return tuple(value) if isinstance(value, list | tuple) else (value,) * 3


def _resizing(processor: Any) -> tuple[str, int | str]:
    """Our resize mode, and the side of the square that comes out; it is a sentence
    where that is none of one size."""

    def positive(sides: Any) -> dict[str, int]:
        return {name: value for name, value in dict(sides).items() if value}

    sides, cropped = positive(processor.size), None
    if getattr(processor, "do_center_crop", None):
        cropped = positive(processor.crop_size)
    if set(sides) == {"height", "width"} and cropped in (None, sides):
        mode, square = "squash", sides
    elif set(sides) == {"shortest_edge"} and cropped is not None:
        mode, square = "shortest", cropped
        if set(cropped.values()) != {sides["shortest_edge"]}:
            return mode, f"{cropped} cut from a shortest edge of {sides}"
    else:
        return "squash", f"{sides}, cut to {cropped}"
    if square.get("height") != square.get("width"):
        return mode, f"{square}"
    return mode, int(square["height"])
