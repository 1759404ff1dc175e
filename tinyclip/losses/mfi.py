"""Disentangled texts: captions of a batch are to be unlike each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.setting import setting
from ..model.clip import Features
from .objectives import Parts, objectives


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
    same_BB = student.text_BE @ student.text_BE.T
    own_BB = torch.eye(len(same_BB)).to(same_BB)
    weight_BB = own_BB + options.others * (1 - own_BB)
    return (weight_BB * (same_BB - own_BB).square()).sum(-1).mean(), {}
