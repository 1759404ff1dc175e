"""Bags of pictures that are alike: the student's picture is pulled to all of its bag.

Legend: B batch, K neighbours, E joint embedding, F the teacher's, D distinct pictures,
b rows of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.setting import setting
from ..model.clip import Features
from .narrowed import narrowed_rows
from .needs import Neighbours
from .objectives import Parts, objectives
from .products import Products, mean_over_rows


@dataclass(frozen=True, kw_only=True)
class Bingo:
    """What can be asked of it."""

    neighbours: int = setting(
        5, "K, pictures that are in a bag beside its own", low=1, high=100
    )


@objectives.register("bingo", need=lambda options: Neighbours(count=options.neighbours))
def bingo(
    student: Features, teacher: Features, options: Bingo = Bingo()
) -> tuple[Tensor, Parts]:
    """Each picture finds itself and its bag, the K pictures that the teacher finds most
    like it, among the teacher's pictures (BINGO, Xu et al., ICLR 2022: L_intra +
    L_inter).

    L = mean_i [CE_i(i) + (1/K) Σ_{n in bag i} CE_i(n)],
    CE_i(n) = −log softmax(a v_i·V)_n

    Columns are the pictures of the batch and of its bags, each once, as the teacher has
    them, (B, D); a is the student's scale. Neighbours are found once, at the start of
    the phase, among the teacher's cached features of all pictures that are trained on;
    pictures that cannot be read are none's, and where there are fewer than K others the
    bag is smaller. The paper pulls a random picture of the bag, encoded, to the
    teacher's sample, against a queue; here the student's sample is pulled to all of its
    bag, no picture is encoded beside, and the batch's bags are the others. It is about
    pictures, as the paper is: captions have nothing from it. To find the neighbours of
    10,000 pictures takes 2 s of one core, of 1,000,000 six hours and 2 GB.

    Logged beside it: `bingo.intra`, `bingo.inter`.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    rows_BK, features_BKF = (teacher.more[f"bingo.{x}"] for x in ("rows", "features"))
    size = len(rows_BK)
    columns_CF = torch.cat([teacher.image_BE, features_BKF.flatten(0, 1)])
    rows_C = torch.cat([rows_BK[:, 0], rows_BK[:, 1:].flatten()])
    first_D, place_C = _distinct(rows_C)
    columns_DE = narrowed_rows(columns_CF[first_D], student, "bingo")
    own_B, near_BK = place_C[:size], place_C[size:].view(size, -1)

    def of(part: slice, logits_bD: Tensor) -> tuple[Tensor, Tensor]:
        near_bK = near_BK[part]
        there_bK = (near_bK >= 0).to(logits_bD)
        total_b = logits_bD.logsumexp(-1)
        intra_b = total_b - logits_bD.gather(1, own_B[part, None])[:, 0]
        found_bK = logits_bD.gather(1, near_bK.clamp(min=0))
        away_bK = (total_b[:, None] - found_bK) * there_bK
        return intra_b, away_bK.sum(-1) / there_bK.sum(-1).clamp(min=1)

    products = Products(student.image_BE, columns_DE, student.scale)
    intra, inter = mean_over_rows(of, products)
    return intra + inter, {"intra": intra.detach(), "inter": inter.detach()}


def _distinct(rows_C: Tensor) -> tuple[Tensor, Tensor]:
    """Where each picture stands first, (D,), and which of these each is, (C,); -1 for
    no picture."""
    distinct, which_C = torch.unique(rows_C, return_inverse=True)
    order_C = torch.arange(len(rows_C), device=rows_C.device)
    first_D = torch.full_like(distinct, len(rows_C))
    first_D = first_D.scatter_reduce(0, which_C, order_C, "amin")
    none = int((distinct < 0).sum())  # sorted: it is the first
    return first_D[none:], which_C - none
