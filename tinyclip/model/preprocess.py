"""From a picture to the pixels a model was trained on: open_clip's transform.

Legend: S image size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

# of an augmented crop; narrower than the 3/4 to 4/3 of classification, because the
# caption speaks of the whole picture
RATIO = (0.9, 1.1)


@dataclass(frozen=True)
class Preprocess:
    """How a source wants its pictures.

    Args:
        size: side of the square, in pixels.
        mean, std: of each colour.
        interpolation: `bicubic` or `bilinear`.
        resize_mode: `shortest` (then crop), `longest` (then pad) or `squash`.
        fill_color: of padding, 0 to 255.
    """

    size: int
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    def __call__(self, image: Image.Image) -> Tensor:
        """Pixels (3, S, S), float32, as open_clip's evaluation transform makes them."""
        return _transform(self)(image.convert("RGB"))

    def augmented(self, image: Image.Image, seed: int, crop: float) -> Tensor:
        """Pixels of a random crop: a pure function of the picture and the seed.

        Args:
            crop: smallest share of the picture's area that is kept.
        """
        from torchvision.transforms import InterpolationMode, RandomResizedCrop
        from torchvision.transforms.functional import resized_crop

        image = image.convert("RGB")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            box = RandomResizedCrop.get_params(image, [crop, 1.0], list(RATIO))  # type: ignore[arg-type]
        mode = InterpolationMode(self.interpolation)
        return self(resized_crop(image, *box, [self.size, self.size], mode))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Preprocess:
        """The settings that `to_dict` wrote.

        Raises:
            KeyError, TypeError: a key is missing or unknown.
        """
        mean, std = tuple(value["mean"]), tuple(value["std"])
        return cls(**{**value, "mean": mean, "std": std})


@functools.lru_cache(maxsize=16)
def _transform(preprocess: Preprocess) -> Callable[[Image.Image], Tensor]:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    made: Callable[[Image.Image], Tensor] = image_transform_v2(
        PreprocessCfg(**asdict(preprocess)), is_train=False
    )
    return made
