"""How long a picture takes."""

from __future__ import annotations

import time

import torch

from ..model.clip import Clip
from .features import evaluating

WARM_UP = 3


def latency(model: Clip, batch: int = 1, repeats: int = 30) -> dict[str, float]:
    """Milliseconds of the image tower for one batch, on the model's own device.

    Returns:
        `median_ms` and `p90_ms` of `repeats` runs, after some that are not counted.
    """
    parameter = next(model.parameters())
    size = model.shape.image.image_size
    pixels = torch.zeros(
        batch, 3, size, size, device=parameter.device, dtype=parameter.dtype
    )
    seconds: list[float] = []
    with evaluating(model):
        for _ in range(WARM_UP + repeats):
            start = time.perf_counter()
            model.encode_image(pixels, normalize=True)
            if parameter.device.type == "cuda":
                torch.cuda.synchronize(parameter.device)
            seconds.append(time.perf_counter() - start)
    at = torch.tensor(seconds[WARM_UP:], dtype=torch.float64) * 1e3
    return {
        "median_ms": float(at.quantile(0.5)),
        "p90_ms": float(at.quantile(0.9)),
    }
