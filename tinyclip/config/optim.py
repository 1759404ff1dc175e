"""The settings of the optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .setting import setting


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW and the course of its learning rate."""

    lr: float = setting(1e-3, "learning rate of the weights, at its highest", above=0)
    weight_decay: float = setting(
        0.1, "of matrices; biases, norms and embeddings have none", low=0
    )
    betas: tuple[float, float] = setting(
        (0.9, 0.98), "how slowly AdamW's two moments forget", low=0, below=1
    )
    eps: float = setting(1e-6, "AdamW's epsilon", above=0)
    clip: float = setting(
        1.0, "global norm that the weights' gradient is clipped to", above=0
    )
    warmup: int = setting(20, "steps from 0 to lr", low=0)
    schedule: Literal["cosine", "constant"] = setting(
        "cosine", "what follows the warm-up"
    )
    final: float = setting(0.01, "share of lr where the cosine ends", low=0, high=1)
