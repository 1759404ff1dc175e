"""What a student can learn from its teacher: the registry of objectives.

An objective takes the student's and the teacher's features of one batch and returns its
loss and the parts worth logging beside it. Legend: B batch, E joint embedding (F the
teacher's where it is wider).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..model.clip import Features
from ..registry import Registry
from .contrastive import affinity_logits, contrastive, sigmoid_logits

Parts: TypeAlias = dict[str, Tensor]
Objective: TypeAlias = Callable[[Features, Features], tuple[Tensor, Parts]]

objectives: Registry[Objective] = Registry("objective")


def soft_cross_entropy(student_BB: Tensor, teacher_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy from the teacher's rows to the student's, and the KL divergence.

    The KL is the cross-entropy less the teacher's entropy: 0 means "the same as the
    teacher", which the cross-entropy alone never shows.
    """
    target_BB = teacher_BB.log_softmax(-1)
    weight_BB = target_BB.exp()
    cross = -(weight_BB * student_BB.log_softmax(-1)).sum(-1).mean()
    entropy = -(weight_BB * target_BB).sum(-1).mean()
    return cross, (cross - entropy).detach()


@objectives.register("affinity")
def affinity(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Affinity mimicking: mean of both directions (Wu et al., ICCV 2023, eq. 2 to 4).

    Each model has its own scale. Logged beside it: `affinity_kl`.
    """
    pairs = zip(affinity_logits(student), affinity_logits(teacher), strict=True)
    both = [soft_cross_entropy(mine, theirs) for mine, theirs in pairs]
    loss = (both[0][0] + both[1][0]) / 2
    return loss, {"affinity_kl": (both[0][1] + both[1][1]) / 2}


@objectives.register("sigmoid")
def sigmoid(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Each pair's match as the teacher's sigmoid has it: binary cross-entropy with
    soft labels, summed over the pairs of a picture as SigLIP's own loss is.

    Logged beside it: `sigmoid_kl`, 0 for the teacher itself.
    """
    mine_BB, theirs_BB = sigmoid_logits(student), sigmoid_logits(teacher)
    label_BB = theirs_BB.sigmoid()
    cross = _binary(mine_BB, label_BB)
    return cross, {"sigmoid_kl": (cross - _binary(theirs_BB, label_BB)).detach()}


def _binary(logits_BB: Tensor, label_BB: Tensor) -> Tensor:
    each_BB = F.binary_cross_entropy_with_logits(logits_BB, label_BB, reduction="none")
    return each_BB.sum(-1).mean()


@objectives.register("mimic")
def mimic(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """The teacher's own kind of similarity, mimicked: `affinity` for a teacher that
    was trained with a softmax, `sigmoid` for one with a logit bias (SigLIP).

    Logged beside it: `mimic_kl`.
    """
    kind = affinity if teacher.bias is None else sigmoid
    loss, parts = kind(student, teacher)
    return loss, {"mimic_kl": next(iter(parts.values()))}


@objectives.register("contrastive")
def contrastive_objective(student: Features, _: Features) -> tuple[Tensor, Parts]:
    """The loss the student itself was trained with; the teacher is not asked."""
    return contrastive(student), {}


@objectives.register("feature")
def feature(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Squared distance of normalised features, image and text summed (CLIP-KD's fd).

    Summed over channels, so that it is 2 − 2·cosine whatever the width is. A student
    that kept some of the teacher's channels is compared with those, normalised.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    image = _distance(student.image_BE, teacher.image_BE, student.channels_E)
    text = _distance(student.text_BE, teacher.text_BE, student.channels_E)
    return image + text, {"image": image.detach(), "text": text.detach()}


def _distance(mine_BE: Tensor, theirs_BF: Tensor, channels_E: Tensor | None) -> Tensor:
    if channels_E is not None:
        theirs_BF = F.normalize(theirs_BF[:, channels_E], dim=-1)
    if mine_BE.shape != theirs_BF.shape:
        raise UserError(
            "losses.feature",
            f"the student embeds in {mine_BE.shape[1]} dimensions and the teacher in "
            f"{theirs_BF.shape[1]}",
            "Use mimic, which compares similarities only",
        )
    return (mine_BE - theirs_BF).square().sum(-1).mean()


def weighted(
    weights: Mapping[str, float], student: Features, teacher: Features
) -> tuple[Tensor, Parts]:
    """The weighted sum of objectives, and every part by name.

    An objective of weight 0 is not computed.

    Returns:
        The loss, and parts: each objective's unweighted value under its name and what
        it logs beside it (`affinity_kl`, `feature.image`, ...).

    Raises:
        UserError: there is no objective of that name.
    """
    total = torch.zeros((), device=student.image_BE.device)
    parts: Parts = {}
    for name, weight in weights.items():
        if weight == 0:
            continue
        loss, beside = objectives.get(name, "losses")(student, teacher)
        total = total + weight * loss
        parts[name] = loss.detach()
        for key, value in beside.items():
            parts[key if key.startswith(name) else f"{name}.{key}"] = value
    return total, parts
