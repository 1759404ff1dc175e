"""The sparsity loss λ(p−q) + β(p−q)², with multipliers that learn by ascent.

p is the share of the size that is left (expected, differentiable), q the share wanted
at this step; both are shares of the run's teacher.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["two_sided", "hinge"]

BETA_START, BETA_MOST = 30.0, 1e4
# A gap beyond this is seen as this: a far start must not wind the multipliers up.
# Inside it, beta hardly grows any more.
GAP_SEEN = 0.02
LAMBDA_SHARE = 0.25  # of the ascent's step; more of it swings around q
PENALTY = "sparsity"  # its part in the loss, as metrics.jsonl names it


class Multipliers(nn.Module):
    """λ and β: the integral and the proportional part of the pull towards q.

    How hard the task pulls is unknown by orders of magnitude, so both climb in
    proportion to β: λ by β·gap, and β, whose logarithm climbs, by a share that grows
    with gap². β settles where the gap stays small. Explicit and without an optimiser:
    the state is two numbers, and resuming is loading them. (Measured on pico gates,
    150 steps, Adam at 0.1, q ramping 1 → 0.25 and less, a task that pulls with up to 10
    per site, any start: largest gap in the last tenth 0.005; with a plain ascent of λ
    and a fixed β 0.6.)

    Args:
        lr: step of the ascent; the share by which β grows while the gap is large.
    """

    def __init__(self, lr: float = 0.08) -> None:
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
        clipped = torch.as_tensor(gap, dtype=torch.float64, device=self.beta.device)
        clipped = clipped.clamp(-GAP_SEEN, GAP_SEEN)
        self.lambda_ += self.lr * LAMBDA_SHARE * self.beta * clipped
        self.beta *= 1 + self.lr * (clipped / GAP_SEEN).square()
        self.beta.clamp_(max=BETA_MOST)


def penalty(
    p: Tensor, q: float, multipliers: Multipliers, kind: Kind = "two_sided"
) -> Tensor:
    """λ(p−q) + β(p−q)²; a 0-dim tensor, differentiable in p.

    Args:
        kind: `two_sided` pulls p to q from both sides; `hinge` only from above.
    """
    gap, pull = p - q, multipliers.lambda_
    if kind == "hinge":
        # a negative pull would hold p above q
        gap, pull = gap.clamp(min=0), pull.clamp(min=0)
    return pull * gap + multipliers.beta * gap.square()


def ramp(step: int, steps: int, share: float, start: float, end: float) -> float:
    """q at a step: from start to end along the first `share` of the steps, then end.

    Args:
        step: 0 to steps − 1.
    """
    length = share * steps
    progress = 1.0 if length <= 0 else min(1.0, (step + 1) / length)
    return start + (end - start) * progress
