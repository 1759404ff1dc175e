"""Disentangled texts: captions of a batch are to be unlike each other.

Legend: B batch, b rows of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.setting import setting
from ..model.clip import Features
from .objectives import Parts, objectives
from .products import Products, mean_over_rows, own_columns


@dataclass(frozen=True, kw_only=True)
class Mfi:
    """What can be asked of it."""

    others: float = setting(1.0, "λ, the weight of different captions", low=0)


@objectives.register("mfi")
def mfi(student: Features, _: Features, options: Mfi = Mfi()) -> tuple[Tensor, Parts]:
    """Squared distance of the captions' similarities from those of captions that have
    nothing in common (mutual feature information of Unmix-CLIP; as a loss it asks
    the student alone).

    L = (Σ_i (S_ii − 1)² + λ Σ_{i≠j} S_ij²) / B, S = s sᵀ, (B, B)

    Captions that are equal ask for what cannot be: use it beside another objective.
    """
    captions = Products(
        student.text_BE, student.text_BE, torch.ones_like(student.scale)
    )

    def of(part: slice, same_bB: Tensor) -> tuple[Tensor]:
        own_b1 = own_columns(part, same_bB)[:, None]
        wanted_bB = torch.zeros_like(same_bB).scatter(1, own_b1, 1.0)
        weight_bB = torch.full_like(same_bB, options.others).scatter(1, own_b1, 1.0)
        return ((weight_bB * (same_bB - wanted_bB).square()).sum(-1),)

    return mean_over_rows(of, captions)[0], {}
