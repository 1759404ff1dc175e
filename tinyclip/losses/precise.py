"""Features in the precision that losses are computed in."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..model.clip import Features


def precise(features: Features) -> Features:
    """In float32, or wider if it is so already."""

    def cast(value: Tensor) -> Tensor:
        return value.to(torch.promote_types(value.dtype, torch.float32))

    bias, temperature = features.bias, features.temperature
    rows = {
        name: cast(value) if value.is_floating_point() else value
        for name, value in features.rows().items()
    }
    return replace(
        features.with_rows(rows),
        scale=cast(features.scale),
        bias=None if bias is None else cast(bias),
        temperature=None if temperature is None else cast(temperature),
    )
