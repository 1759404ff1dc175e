"""Gradient distillation: the pull on every embedding, as the teacher feels it.

Legend: C columns, b rows of a block, E joint embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.clip import Features
from .narrowed import narrowed
from .objectives import Parts, objectives
from .products import Products, both_ways, mean_over_rows, over_rows, own_columns


@objectives.register("gd", compares="embeddings")
def gd(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Squared distance of the gradients of both models' own losses by their embeddings
    (gd of CLIP-KD, Yang et al., CVPR 2024).

    L = mean_i (|∂ℓ/∂v_i − ∂ℓ'/∂V_i|² + |∂ℓ/∂s_i − ∂ℓ'/∂S_i|²)

    ℓ is B times the contrastive loss of the student, ℓ' of the teacher, so that
    neither the batch nor the width is in the value; the published weight of 10⁸ is on
    a mean over both of gradients that hold 1/B. In closed form: a M S and a Mᵀ V, with
    M the softmax of rows and of columns, halved, less the identity.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    theirs = narrowed(teacher, student, "gd")
    pairs = zip(_both(student), _both(theirs), strict=True)
    image, text = (_apart(mine, other) for mine, other in pairs)
    return image + text, {"image": image.detach(), "text": text.detach()}


@dataclass(frozen=True)
class _Direction:
    """Products, and the log of the sum of the exponentials of each column, (C,)."""

    products: Products
    columns_C: Tensor | None

    def pull(self, part: slice, logits_bC: Tensor) -> Tensor:
        """The gradient by the embedding of each row, (b, E)."""
        if self.columns_C is None:
            chosen_bC = logits_bC.sigmoid()
        else:
            of_columns_bC = (logits_bC - self.columns_C).exp()
            chosen_bC = (logits_bC.softmax(-1) + of_columns_bC) / 2
        own_b1 = own_columns(part, logits_bC)[:, None]
        right_bC = torch.zeros_like(chosen_bC).scatter(1, own_b1, 1.0)
        return self.products.scale * (chosen_bC - right_bC) @ self.products.columns_CE


def _both(features: Features) -> tuple[_Direction, _Direction]:
    image, text = both_ways(features, biased=True)
    if features.bias is not None:
        return _Direction(image, None), _Direction(text, None)
    of_rows = [over_rows(_log_sum, products)[0] for products in (image, text)]
    return _Direction(image, of_rows[1]), _Direction(text, of_rows[0])


def _log_sum(_: slice, logits_bC: Tensor) -> tuple[Tensor]:
    return (logits_bC.logsumexp(-1),)


def _apart(mine: _Direction, theirs: _Direction) -> Tensor:
    def of(part: slice, mine_bC: Tensor, theirs_bC: Tensor) -> tuple[Tensor]:
        apart_bE = mine.pull(part, mine_bC) - theirs.pull(part, theirs_bC)
        return (apart_bE.square().sum(-1),)

    return mean_over_rows(of, mine.products, theirs.products)[0]
