"""How long a picture takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from ..model.clip import Clip
from .features import evaluating

WARM_UP = 3


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the device's own work included."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """`median_ms` and `p90_ms` of some calls."""
    milliseconds = torch.tensor(seconds, dtype=torch.float64) * 1e3
    return {
        "median_ms": float(milliseconds.quantile(0.5)),
        "p90_ms": float(milliseconds.quantile(0.9)),
    }


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
    with evaluating(model):
        seconds = [
            timed(lambda: model.encode_image(pixels, normalize=True), parameter.device)
            for _ in range(WARM_UP + repeats)
        ]
    return quantiles(seconds[WARM_UP:])
