"""Relations in place of values: correlation with the teacher's similarities."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ..config.setting import setting
from ..model.clip import Features
from .contrastive import affinity_logits
from .objectives import Parts, objectives


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
    mine_BB, theirs_BB = affinity_logits(student)[0], affinity_logits(teacher)[0]
    inter = (1 - _correlation(mine_BB, theirs_BB)).mean()
    intra = (1 - _correlation(mine_BB.T, theirs_BB.T)).mean()
    loss = options.inter * inter + options.intra * intra
    return loss, {"inter": inter.detach(), "intra": intra.detach()}


def _correlation(mine_BB: Tensor, theirs_BB: Tensor) -> Tensor:
    mine_BB = mine_BB - mine_BB.mean(-1, keepdim=True)
    theirs_BB = theirs_BB - theirs_BB.mean(-1, keepdim=True)
    return F.cosine_similarity(mine_BB, theirs_BB, dim=-1)
