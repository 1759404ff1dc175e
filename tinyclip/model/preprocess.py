"""From a picture to the pixels a model was trained on: open_clip's transform.

Legend: S image size.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from ..typed import misfit

# how far an augmented crop may leave the picture's own proportion; narrower than the
# 3/4 to 4/3 of classification, because the caption speaks of the whole picture
STRETCH = 1.1
INTERPOLATIONS = ("bicubic", "bilinear", "random")  # random: bicubic outside training
RESIZE_MODES = ("shortest", "longest", "squash")
CROPS = ("even", "floor")
LARGEST = 2**14  # pixels
FURTHEST = 16  # of a colour's mean and deviation; pixels are from 0 to 1


@dataclass(frozen=True)
class Preprocess:
    """How a source wants its pictures.

    Args:
        size: side of the square, in pixels.
        mean, std: of each colour.
        interpolation: `bicubic` or `bilinear`.
        resize_mode: `shortest` (then crop), `longest` (then pad) or `squash`.
        fill_color: of padding, 0 to 255.
        crop_rounding: where a `shortest` crop lies when half the margin is no whole
            number of pixels: `even` rounds it to the even neighbour, as open_clip
            does; `floor` rounds it down, as transformers does.
    """

    size: int
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0
    crop_rounding: str = "even"

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation {self.interpolation!r} is unknown")
        if self.resize_mode not in RESIZE_MODES:
            raise ValueError(f"resize_mode {self.resize_mode!r} is unknown")
        if self.crop_rounding not in CROPS:
            raise ValueError(f"crop_rounding {self.crop_rounding!r} is unknown")
        if type(self.size) is not int or not 1 <= self.size <= LARGEST:
            raise ValueError(f"size {self.size!r} is not from 1 to {LARGEST} pixels")
        for name, colours in (("mean", self.mean), ("std", self.std)):
            if len(colours) != 3 or not all(map(_is_finite, colours)):
                raise ValueError(f"{name} is not that of three colours")
            if max(map(abs, colours)) > FURTHEST:
                raise ValueError(f"{name} is beyond {FURTHEST}, and pixels are up to 1")
        if not min(self.std) > 0:
            raise ValueError("std is 0 or less, and pixels are divided by it")
        fill = self.fill_color
        if not _is_finite(fill) or not 0 <= fill <= 255:
            raise ValueError(f"fill_color {fill!r} is not from 0 to 255")

    def __call__(self, image: Image.Image) -> Tensor:
        """Pixels (3, S, S), float32, as open_clip's evaluation transform makes them."""
        return _transform(self)(image.convert("RGB"))

    def augmented(self, image: Image.Image, seed: int, crop: float) -> Tensor:
        """Pixels of a random crop: a pure function of the picture and the seed.

        A share of the picture's area from `crop` to 1 is kept, its sides in the
        picture's own proportion give or take a tenth; then as without a crop. No
        global random state is read or written, so threads may call this at once.

        Args:
            crop: smallest share of the picture's area that is kept, in (0, 1].
        """
        return self(image.crop(_crop_box(image.size, seed, crop)))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values.

        `crop_rounding` is there only where it is not open_clip's own, so that these
        are open_clip's settings, and directories written before it are the same.
        """
        settings = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        if self.crop_rounding == "even":
            del settings["crop_rounding"]
        return settings

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Preprocess:
        """The settings that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: a key is missing or unknown, or its value
                is none that open_clip knows.
        """
        mean, std = tuple(value["mean"]), tuple(value["std"])
        return cls(**{**value, "mean": mean, "std": std})


def _is_finite(value: Any) -> bool:
    return not misfit(value, float)


def _crop_box(
    size: tuple[int, int], seed: int, crop: float
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the crop that a seed draws."""
    width, height = size
    draw = random.Random(seed)
    share = draw.uniform(crop, 1.0)
    # a stretch that would leave the picture is not drawn at all
    furthest = min(math.log(STRETCH), -math.log(share))
    stretch = math.exp(draw.uniform(-furthest, furthest))
    crop_width = min(width, max(1, round(width * math.sqrt(share * stretch))))
    crop_height = min(height, max(1, round(height * math.sqrt(share / stretch))))
    left, top = (
        draw.randint(0, width - crop_width),
        draw.randint(0, height - crop_height),
    )
    return left, top, left + crop_width, top + crop_height


@functools.lru_cache(maxsize=16)
def _transform(preprocess: Preprocess) -> Callable[[Image.Image], Tensor]:
    from open_clip.transform import CenterCrop, PreprocessCfg, image_transform_v2

    settings = asdict(preprocess)
    floor = settings.pop("crop_rounding") == "floor"
    transform = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    if floor:
        crop = functools.partial(_floor_crop, preprocess.size)
        transform.transforms = [
            crop if isinstance(step, CenterCrop) else step
            for step in transform.transforms
        ]
    typed: Callable[[Image.Image], Tensor] = transform
    return typed


def _floor_crop(size: int, image: Image.Image) -> Image.Image:
    """The middle square of a picture that is at least as large."""
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))
