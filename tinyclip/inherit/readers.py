"""What reads a stream that lost directions, solved anew.

Shapes: D directions before the cut, K after it, N = D + K, M numbers read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .dims import Read
from .moments import Moment


def solved_reader(
    second_NN: Tensor,
    mean_N: Tensor,
    weight_MD: Tensor,
    bias_M: Tensor,
    plain_MK: Tensor,
    ridge: float,
) -> tuple[Tensor, Tensor]:
    """The matrix and bias that read from the cut stream what was read from the whole.

    Directions that are gone are uncorrelated with those that stay over the whole tower,
    but not at one reader, and a student's stream drifts from its teacher's. Ridge
    regression of W x + b on y, x what the reader read before the cut and y what it
    reads now, with an intercept, and shrunk to the plain cut and not to zero:
    W' = P + (W C_xy − P C_yy)(C_yy + λI)⁻¹, λ = ridge · mean of the diagonal of C_yy,
    b' = b + W E[x] − W' E[y] (Hoerl and Kennard 1970, with a prior).

    Args:
        second_NN: second moment about 0 of [x; y], as `Moment` gives it.
        mean_N: their mean.
        weight_MD: W.
        bias_M: b.
        plain_MK: P, what slicing leaves of W.
        ridge: λ as a share of the mean variance of y; positive.

    Returns:
        weight_MK, bias_M; float64.

    Raises:
        ValueError: the ridge is not positive, sizes do not fit, or a moment is not
            finite.
    """
    before, after = weight_MD.shape[1], plain_MK.shape[1]
    if len(second_NN) != before + after:
        raise ValueError(f"a moment of {len(second_NN)}, not of {before} and {after}")
    if ridge <= 0 or not second_NN.isfinite().all():
        raise ValueError("the ridge must be positive, and moments must be finite")
    mean_N, weight_MD, plain_MK = mean_N.double(), weight_MD.double(), plain_MK.double()
    covariance_NN = second_NN.double() - torch.outer(mean_N, mean_N)
    cross_DK, inner_KK = (
        covariance_NN[:before, before:],
        covariance_NN[before:, before:],
    )
    missing_MK = weight_MD @ cross_DK - plain_MK @ inner_KK
    # never singular: rounding in a covariance is far below a ridge that is of any use
    lift = ridge * inner_KK.diagonal().mean() if after else 0.0
    lifted_KK = inner_KK + lift * torch.eye(after).to(inner_KK)
    if after and bool(lift > 0):
        more_MK = torch.linalg.solve(lifted_KK, missing_MK, left=False)
    else:  # nothing varies
        more_MK = torch.zeros_like(plain_MK)
    new_MK = plain_MK + more_MK
    shift_M = weight_MD @ mean_N[:before] - new_MK @ mean_N[before:]
    return new_MK, bias_M.double() + shift_M


@dataclass(frozen=True)
class Reading:
    """What a norm reads before the cut and now.

    Args:
        moment: of both, one after the other.
        width: of what is read now.
    """

    moment: Moment
    width: int
    ridge: float | None

    def now(self) -> Read:
        """What is read now."""
        at = slice(self.moment.width - self.width, None)
        return Read.of(self.moment.covariance[at, at], self.moment.mean[at])

    def solved(
        self, weight_MD: Tensor, bias_M: Tensor, plain_MK: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `solved_reader`."""
        assert self.ridge is not None
        return solved_reader(
            self.moment.second,
            self.moment.mean,
            weight_MD,
            bias_M,
            plain_MK,
            self.ridge,
        )

    def solve(self, old: nn.Linear, new: nn.Linear, rows: Tensor | None = None) -> None:
        """Make a layer read now what it read before, as well as it can.

        Args:
            rows: of the old one that are left; None for all.
        """
        if self.ridge is None or not len(new.bias):
            return
        at = slice(None) if rows is None else rows.to(old.weight.device)
        weight, bias = self.solved(old.weight[at], old.bias[at], new.weight)
        new.weight.copy_(weight)
        new.bias.copy_(bias)
