"""Gates that several tests draw."""

from __future__ import annotations

from typing import Any

import torch

from tinyclip.masks.gates import Gates
from tinyclip.shapes import ClipShape


def random_gates(
    shape: ClipShape, seed: int, low: float = -4.6, high: float = 4.6, **options: Any
) -> Gates:
    """Gates whose logits are drawn evenly between two bounds."""
    gates, generator = Gates(shape, **options), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            noise = torch.rand(alpha.shape, generator=generator)
            alpha.copy_(low + noise * (high - low))
    return gates
