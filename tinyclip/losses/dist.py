"""Relations in place of values: correlation with the teacher's similarities.

Legend: C columns, b rows of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ..config.setting import setting
from ..model.clip import Features
from .objectives import Parts, objectives
from .products import both_ways, mean_over_rows


@dataclass(frozen=True, kw_only=True)
class Dist:
    """What can be asked of DIST."""

    inter: float = setting(1.0, "weight of rows: a picture over the captions", low=0)
    intra: float = setting(1.0, "weight of columns: a caption over the pictures", low=0)


@objectives.register("dist")
def dist(
    student: Features, teacher: Features, options: Dist = Dist()
) -> tuple[Tensor, Parts]:
    """1 − Pearson correlation with the teacher's rows, and with its columns (DIST,
    Huang et al., NeurIPS 2022).

    L = β mean_i (1 − ρ(z_i, Z_i)) + γ mean_j (1 − ρ(z_·j, Z_·j))

    On the products z = v·s (B, B) themselves, where the paper has a softmax: an affine
    change of the student's products changes nothing, so scale and bias get no gradient.
    A row without any spread correlates with nothing. 0 for the teacher itself.
    """
    pairs = zip(both_ways(student), both_ways(teacher), strict=True)
    inter, intra = (mean_over_rows(_unlike, mine, theirs)[0] for mine, theirs in pairs)
    loss = options.inter * inter + options.intra * intra
    return loss, {"inter": inter.detach(), "intra": intra.detach()}


def _unlike(_: slice, mine_bC: Tensor, theirs_bC: Tensor) -> tuple[Tensor]:
    """1 − the correlation of each row with the teacher's."""
    mine_bC = mine_bC - mine_bC.mean(-1, keepdim=True)
    theirs_bC = theirs_bC - theirs_bC.mean(-1, keepdim=True)
    return (1 - F.cosine_similarity(mine_bC, theirs_bC, dim=-1),)
