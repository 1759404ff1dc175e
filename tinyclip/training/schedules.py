"""The course of the learning rate: a pure function of the step."""

from __future__ import annotations

import math

from ..config.schema import Optim


def lr_share(step: int, steps: int, optim: Optim) -> float:
    """The share of `optim.lr` that step `step` of `steps` trains with.

    Linear warm-up to 1, then a cosine down to `optim.final` (or constant).
    """
    warmup = min(optim.warmup, max(0, steps - 1))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if optim.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, steps - warmup)
    return optim.final + (1 - optim.final) * 0.5 * (1 + math.cos(math.pi * done))
