"""The hidden units of an FFN: which carry its output, and the rest told by those.

Shapes: F units, K of them kept, D channels written.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PANEL = 64  # units chosen between two updates of the whole
DEAD = 1e-8  # a unit with less than this share of its own moment left is told by others


def chosen_units(
    second_FF: Tensor, down_DF: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Units in the order in which they carry most of what is left to the output.

    Greedy: the unit with the largest |W gⱼ|²/gⱼⱼ is taken, which is what its own best
    way down would explain, and G loses what it tells of the others, G − gⱼgⱼᵀ/gⱼⱼ. That
    is a Cholesky factorisation with pivots (Higham 2002, §10.3) that chooses them by
    the output. Gains are updated and not made anew, and as in LAPACK's `pstrf` the
    whole is updated once a panel of steps: O(F(D + panel)) a step and O(F²(F + D)) in
    all, float64, about three times the memory of G.

    Args:
        second_FF: G, the second moment of the units, or their covariance where a bias
            takes their mean.
        down_DF: W, the way down.
        count: how many to choose.

    Returns:
        order (count,): indices of units. Those of which nothing is left, or that carry
            nothing, come last, in their own order.
        gains (count,): what each explains of the output's moment, tr(WGWᵀ), beyond
            those before it; 0 for the last ones.

    Raises:
        ValueError: `count` is not within 0 and F.
    """
    if not 0 <= count <= len(second_FF):
        raise ValueError(f"{count} units of {len(second_FF)}")
    left, down_FD = second_FF.double(), down_DF.double().T
    carried, least = left @ down_FD, DEAD * left.diagonal()
    names = torch.arange(len(left), device=left.device)
    order, gains = [], []
    missing = count
    while missing and len(names):
        panel = _panel(left, carried, least, min(PANEL, missing))
        order.append(names[panel.chosen])
        gains.append(panel.gains)
        missing -= len(panel.chosen)
        stay = torch.ones_like(names, dtype=torch.bool)
        stay[panel.chosen] = False
        names, least = names[stay], least[stay]
        if not len(panel.chosen):
            break
        told = panel.told[stay]
        left = left[stay][:, stay].addmm_(told, told.T, alpha=-1)
        carried = carried[stay].addmm_(told, panel.moved, alpha=-1)
    order.append(names[:missing])
    gains.append(left.new_zeros(missing))
    return torch.cat(order), torch.cat(gains)


@dataclass(frozen=True)
class _Panel:
    chosen: Tensor  # (s,), of the units at hand
    gains: Tensor  # (s,)
    told: Tensor  # (F, s): columns gⱼ/√gⱼⱼ, each as it was when its unit was chosen
    moved: Tensor  # (s, D): W gⱼ/√gⱼⱼ


def _panel(left: Tensor, carried: Tensor, least: Tensor, steps: int) -> _Panel:
    """Choose at most so many units; G and its products stay as they are.

    Args:
        left: G, (F, F), of units that are not chosen yet.
        carried: (WG)ᵀ, (F, D).
        least: (F,), what a unit must have left.
        steps: how many to choose at most; fewer are, where no other carries anything.
    """
    told, moved = (
        left.new_zeros(len(left), steps),
        carried.new_zeros(steps, carried.shape[1]),
    )
    own, strength = left.diagonal().clone(), carried.square().sum(1)
    chosen: list[Tensor] = []
    gains = left.new_zeros(steps)
    for step in range(steps):
        # what is not above its least is rounding, also where that is below 0
        gain = torch.where(own > least, strength / own, 0.0)
        best = gain.argmax()
        gains[step] = gain[best]
        if gains[step] <= 0:
            break
        chosen.append(best)
        so_far = told[best, :step]
        root = own[best].sqrt()
        told[:, step] = (left[best] - told[:, :step] @ so_far) / root
        moved[step] = (carried[best] - so_far @ moved[:step]) / root
        # |h − t u|² of every unit's h, by its product with u
        product = carried @ moved[step] - told[:, :step] @ (moved[:step] @ moved[step])
        share = told[:, step]
        strength = strength - share * (2 * product - share * moved[step].square().sum())
        own = own - share.square()  # of the chosen one nothing is left
    taken = len(chosen)
    index = torch.stack(chosen) if chosen else least.new_zeros(0, dtype=torch.long)
    return _Panel(index, gains[:taken], told[:, :taken], moved[:taken])


@dataclass(frozen=True)
class Explained:
    """A way down solved anew, and what it explains.

    `bias_D` is added to the way down's own. `left` is the mean of what the output lost,
    squared; `whole` the same of the output that units carried.
    """

    down_DK: Tensor
    bias_D: Tensor
    left: float
    whole: float


def explained(
    second_FF: Tensor,
    down_DF: Tensor,
    kept: Tensor,
    ridge: float,
    mean_F: Tensor | None = None,
) -> Explained:
    """The way down of the units that are kept, with what they tell of the others.

    Nyström (MoDeGPT, Lin et al. 2025, §3.2): hidden ≈ hidden_S T with
    T = (G_SS + λI)⁻¹ G_S,: , λ = ridge · mean of G's diagonal, so the way down becomes
    W Tᵀ. With the units' mean, G is their covariance and what the mean adds goes into
    the bias, W(mean − Tᵀ mean_S), which the ridge does not shrink.

    Args:
        second_FF: G, the units' second moment about 0.
        down_DF: W.
        kept: (K,) indices, in the order in which the units are to stand.
        ridge: λ as a share of the mean diagonal; not negative. At 0, where those kept
            tell each other, the least solution is taken (pseudo-inverse).
        mean_F: the units' mean.

    Returns:
        Of float64.

    Raises:
        ValueError: ridge is negative, or a moment is not finite.
    """
    if ridge < 0 or not second_FF.isfinite().all():
        raise ValueError("the ridge must not be negative, and moments must be finite")
    second_FF, down_DF = second_FF.double(), down_DF.double()
    if mean_F is not None:
        mean_F = mean_F.double()
        second_FF = second_FF - torch.outer(mean_F, mean_F)
    rows_KF = second_FF[kept]
    inner_KK = rows_KF[:, kept]
    aim_KD = rows_KF @ down_DF.T
    lift = ridge * float(second_FF.diagonal().mean()) if len(second_FF) else 0.0
    down_DK = _solved(inner_KK, lift, aim_KD).T
    bias_D = down_DF.new_zeros(len(down_DF))
    if mean_F is not None:
        bias_D = down_DF @ mean_F - down_DK @ mean_F[kept]
    whole = float(((down_DF @ second_FF) * down_DF).sum())
    told = float((2 * aim_KD.T * down_DK - (down_DK @ inner_KK) * down_DK).sum())
    return Explained(down_DK, bias_D, max(whole - told, 0.0), whole)


def _solved(inner_KK: Tensor, lift: float, aim_KD: Tensor) -> Tensor:
    """(inner + lift)⁻¹ aim, by Cholesky; by its pseudo-inverse where it is singular."""
    identity_KK = torch.eye(len(inner_KK)).to(inner_KK)
    lifted_KK = inner_KK + lift * identity_KK
    factor_KK, failed = torch.linalg.cholesky_ex(lifted_KK)
    if not failed:
        return torch.cholesky_solve(aim_KD, factor_KK)
    return torch.linalg.pinv(lifted_KK, rtol=1e-10, hermitian=True) @ aim_KD
