"""The asymmetric loss: each picture says of each caption whether it fits.

Legend: B batch, K captions of a picture, b rows of a block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.setting import setting
from ..model.clip import Features
from .needs import Labels
from .objectives import Parts, objectives
from .products import Products, mean_over_rows, own_columns

START = math.log(10), -10.0  # scale (its logarithm) and bias that SigLIP starts from


@dataclass(frozen=True, kw_only=True)
class Asymmetric:
    """What can be asked of it."""

    positive: float = setting(
        0.0, "γ+: how little captions count that are already found to fit", low=0
    )
    negative: float = setting(
        4.0, "γ−: how little others count that are already found not to", low=0
    )
    shift: float = setting(
        0.05,
        "δ: others count only where they are found more likely than this",
        low=0,
        below=1,
    )


@objectives.register("asl", need=lambda options: Labels())
class Asl(nn.Module):
    """Yes or no for every picture and caption, where the many captions that do not fit
    count less than the few that do (asymmetric loss, Ridnik et al., ICCV 2021, whose γ
    and δ are the defaults; Unmix-CLIP, Rawlekar et al. 2025, trains with it).

    L = −mean_i Σ_j [y_ij (1 − p_ij)^γ+ log p_ij + (1 − y_ij) q_ij^γ− log(1 − q_ij)],
    p_ij = σ(a v_i·s_j + b), q = max(p − δ, 0)

    y (B, B) is 1 where caption j is one of picture i's, the one beside it or another,
    and where both are of one class; CLIP's captions stand where the papers have the
    classes of a data set. Summed over the captions of a picture, as there, and a mean
    over pictures. a and b are the student's own if it has a bias (SigLIP); else they
    are learned beside it, from SigLIP's log a = log 10 and b = −10 on, and end with
    their phase. The teacher is not asked. Logged beside it: `asl.fitting`, how many
    captions of the batch fit a picture.

    Args:
        student, teacher: widths of the joint embeddings.
    """

    def __init__(
        self, student: int, teacher: int, options: Asymmetric = Asymmetric()
    ) -> None:
        super().__init__()
        self.options = options
        self.log_scale = nn.Parameter(torch.tensor(START[0]))
        self.bias = nn.Parameter(torch.tensor(START[1]))

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Parts]:
        scale, bias = student.scale, student.bias
        if bias is None:
            scale, bias = self.log_scale.exp(), self.bias
        products = Products(student.image_BE, student.text_BE, scale, bias)
        fitting_BK, caption_B, label_B = (
            teacher.more[f"asl.{part}"] for part in ("fitting", "caption", "label")
        )

        def of(part: slice, logits_bB: Tensor) -> tuple[Tensor, Tensor]:
            fits_bB = own_columns(part, logits_bB)[:, None] == torch.arange(
                len(caption_B), device=logits_bB.device
            )
            for fitting_b in fitting_BK[part].T:
                fits_bB = fits_bB | (fitting_b[:, None] == caption_B)
            label_b1 = label_B[part, None]
            fits_bB = fits_bB | ((label_b1 == label_B) & (label_b1 >= 0))
            return self._of_pairs(logits_bB, fits_bB).sum(-1), fits_bB.float().sum(-1)

        loss, fitting = mean_over_rows(of, products)
        return loss, {"fitting": fitting.detach()}

    def _of_pairs(self, logits_bB: Tensor, fits_bB: Tensor) -> Tensor:
        """The loss of each picture and caption."""
        asked = self.options
        yes, no = F.logsigmoid(logits_bB), F.logsigmoid(-logits_bB)
        positive = (asked.positive * no).exp() * yes
        found = logits_bB.sigmoid()
        counts = found > asked.shift
        # 0 to a power below 1 has no gradient: what does not count is kept from it
        over = torch.where(counts, found - asked.shift, 1.0)
        if asked.shift:  # log(1 − p + δ)
            no = torch.logaddexp(no, torch.full_like(no, math.log(asked.shift)))
        negative = torch.where(counts, over**asked.negative * no, 0.0)
        return -torch.where(fits_bB, positive, negative)
