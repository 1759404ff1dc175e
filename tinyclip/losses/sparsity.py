"""The sparsity loss λ(p−q) + β(p−q)², with multipliers that learn by ascent.

p is the share of the size that is left (expected, differentiable), q the share wanted at
this step; both are shares of the run's teacher.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["two_sided", "hinge"]

BETA_START = 10.0
# lambda integrates the gap, but a far start must not wind it up
GAP_SEEN = 0.02


class Multipliers(nn.Module):
    """λ and β: the integral and the proportional part of the pull towards q.

    Both climb the gradient of the penalty (∂/∂λ = gap, ∂/∂β = gap²), explicitly and
    without an optimiser: the state is these two numbers, and resuming is loading them.

    Args:
        lr: step of the ascent.
    """

    def __init__(self, lr: float = 0.05) -> None:
        super().__init__()
        self.lr = lr
        self.lambda_: Tensor
        self.beta: Tensor
        self.register_buffer("lambda_", torch.zeros((), dtype=torch.float64))
        self.register_buffer("beta", torch.tensor(BETA_START, dtype=torch.float64))

    @torch.no_grad()
    def ascend(self, gap: Tensor | float) -> None:
        """One step up, after the step of the gates.

        Args:
            gap: p − q, as the penalty saw it.
        """
        gap = torch.as_tensor(gap, dtype=torch.float64, device=self.beta.device)
        seen = gap.clamp(-GAP_SEEN, GAP_SEEN)
        self.lambda_ += self.lr * self.beta * seen
        self.beta += self.lr * gap.square()


def penalty(
    p: Tensor, q: float, multipliers: Multipliers, kind: Kind = "two_sided"
) -> Tensor:
    """λ(p−q) + β(p−q)²; a 0-dim tensor, differentiable in p.

    Args:
        kind: `two_sided` pulls p to q from both sides; `hinge` only from above.
    """
    gap = p - q
    if kind == "hinge":
        gap = gap.clamp(min=0)
    return multipliers.lambda_ * gap + multipliers.beta * gap.square()


def ramp(step: int, steps: int, share: float, start: float, end: float) -> float:
    """q at a step: from start to end along the first `share` of the steps, then end.

    Args:
        step: 0 to steps − 1.
    """
    length = share * steps
    done = 1.0 if length <= 0 else min(1.0, (step + 1) / length)
    return start + (end - start) * done
