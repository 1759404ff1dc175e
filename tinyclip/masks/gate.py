"""One hard-concrete gate: its sample, its open probability, its hardened value.

Louizos, Welling, Kingma 2018, "Learning Sparse Neural Networks through L0
Regularization", §2.2 (eqs 10 to 12), with the constants of design §5: a stretched
sigmoid of logistic noise, clamped to [0, 1], so that a gate is exactly 0 or exactly 1
with positive probability. Everything works on a flat vector of logits, one a unit.

Legend: U units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOW, HIGH = -0.1, 1.1  # a and b: where the stretched sigmoid starts and ends
TEMPERATURE = 2 / 3
NOISE_EPS = 1e-6  # u stays inside (0, 1), where its logit is finite
LIMIT = math.log(100.0)  # of |alpha|: further out the gradient is gone
LEAST_KEPT = 0.05  # a unit that the budget keeps is alive
# the open probability is a sigmoid of alpha shifted by this much
SHIFT = TEMPERATURE * math.log(-LOW / HIGH)


def draw_noise(units: int, generator: torch.Generator | None, like_U: Tensor) -> Tensor:
    """u ~ U(ε, 1−ε), (U,), where and what `like_U` is.

    Drawn on the generator's own device, so that the numbers depend on it alone.
    """
    device = like_U.device if generator is None else generator.device
    u_U = torch.rand(units, generator=generator, device=device)
    return (u_U * (1 - 2 * NOISE_EPS) + NOISE_EPS).to(like_U)


def sample(alpha_U: Tensor, u_U: Tensor) -> Tensor:
    """Soft gates in [0, 1] under the noise u, differentiable in alpha; (U,)."""
    s_U = torch.sigmoid((torch.logit(u_U) + alpha_U) / TEMPERATURE)
    return (s_U * (HIGH - LOW) + LOW).clamp(0, 1)


def open_probability(alpha_U: Tensor) -> Tensor:
    """P(z > 0) of every gate, (U,)."""
    return torch.sigmoid(alpha_U - SHIFT)


def alpha_of(probability: float) -> float:
    """The logit whose open probability is the one given, within the clamped range."""
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    alpha = math.log(inside / (1 - inside)) + SHIFT
    return min(max(alpha, -LIMIT), LIMIT)


def hardened(alpha_U: Tensor) -> Tensor:
    """The value that each unit has if it is kept, never under `LEAST_KEPT`; (U,)."""
    s_U = torch.sigmoid(alpha_U / TEMPERATURE)
    return (s_U * (HIGH - LOW) + LOW).clamp(0, 1).clamp(min=LEAST_KEPT)
