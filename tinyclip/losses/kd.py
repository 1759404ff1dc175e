"""Knowledge distillation as Hinton has it, on the similarities of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..config.setting import setting
from ..model.clip import Features
from .affinity import divergence
from .contrastive import contrastive
from .objectives import Parts, objectives
from .products import compared, regained


@dataclass(frozen=True, kw_only=True)
class Kd:
    """What can be asked of knowledge distillation."""

    temperature: float = setting(2.0, "both models' logits are divided by it", above=0)
    teacher: float = setting(
        1.0, "weight of what the teacher says beside the labels", low=0
    )
    divergence: Literal["forward", "reverse"] = setting(
        "forward",
        "forward: KL(teacher ‖ student), all that the teacher holds likely; reverse: "
        "KL(student ‖ teacher), nothing that it does not",
    )


@objectives.register("kd", compares="distributions")
def kd(
    student: Features, teacher: Features, options: Kd = Kd()
) -> tuple[Tensor, Parts]:
    """The student's own loss, and its softened similarities as the teacher has them
    (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", §2).

    L = ℓ + λ 2T² ½ (mean_i KL(P_i ‖ p_i) + mean_j KL(Q_j ‖ q_j))

    ℓ is `contrastive`; p, P, q, Q are as in `crd`, of logits (B, B) divided by the
    temperature T; T² gives gradients that do not shrink with it. Logged beside it:
    `kd_kl`, the divergence alone, 0 for the teacher itself.
    """
    found = []
    for theirs, mine in zip(compared(teacher), compared(student), strict=True):
        pair = (theirs, mine) if options.divergence == "forward" else (mine, theirs)
        found.append(divergence(*pair, options.temperature))
    kl = (found[0] + found[1]) / 2
    softened = 2 * options.temperature**2 * regained(student, kl)
    loss = contrastive(student) + options.teacher * softened
    return loss, {"kd_kl": kl.detach()}
