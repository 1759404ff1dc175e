"""How much a student's answers are its teacher's, right or wrong.

A student may be as often right and yet answer other things: agreement and divergence
are told beside the value (Stanton et al. 2021, "Does knowledge distillation really
work?").

Legend: N items, M texts, E and F features of two models.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .answers import Answers

ROWS = 1024  # pictures whose similarities are held at once


def fidelity(student: Answers, teacher: Answers) -> dict[str, float | None]:
    """`top1_agreement`, `kl`, `cka_images`, `cka_texts`; None where nothing is said."""
    ours, theirs = student.texts_ME, teacher.texts_ME
    texts = None if ours is None or theirs is None else cka(ours, theirs)
    return {
        "top1_agreement": agreement(student.chosen_N, teacher.chosen_N),
        "kl": divergence(student, teacher),
        "cka_images": cka(student.images_NE, teacher.images_NE),
        "cka_texts": texts,
    }


def agreement(ours_N: Tensor, theirs_N: Tensor) -> float:
    """The share of items of which both choose the same."""
    return float((ours_N == theirs_N).double().mean())


def divergence(student: Answers, teacher: Answers) -> float | None:
    """Mean over pictures of KL(teacher ‖ student) over classes or captions, in nats:
    Σ p log(p / q), of softmaxes at each model's own scale. None where a model has no
    texts or no scale, or a feature is no number."""
    if student.texts_ME is None or teacher.texts_ME is None:
        return None
    if student.scale is None or teacher.scale is None:
        return None
    total = 0.0
    for start in range(0, len(student.images_NE), ROWS):
        ours, theirs = (_log_shares(each, start) for each in (student, teacher))
        total += float(F.kl_div(ours, theirs, reduction="sum", log_target=True))
    mean = total / len(student.images_NE)
    return mean if mean == mean else None


def _log_shares(answers: Answers, start: int) -> Tensor:
    assert answers.texts_ME is not None and answers.scale is not None
    rows = answers.images_NE[start : start + ROWS]
    logits = answers.scale * rows @ answers.texts_ME.T
    return F.log_softmax(logits.double(), dim=1)


def cka(ours_NE: Tensor, theirs_NF: Tensor) -> float | None:
    """Linear centred kernel alignment, 0 to 1: |YᵀX|² / (|XᵀX| |YᵀY|) of centred
    features, Frobenius norms (Kornblith et al. 2019, eq. 4). None where one of them is
    the same for all items."""
    x, y = ((f - f.mean(dim=0)) for f in (ours_NE.double(), theirs_NF.double()))
    whole = torch.linalg.norm(x.T @ x) * torch.linalg.norm(y.T @ y)
    value = float(torch.linalg.norm(y.T @ x) ** 2 / whole)
    return value if value == value else None


def gap(answers: Answers) -> float | None:
    """The distance between the mean picture and the mean text (Liang et al. 2022,
    §4.1); None where no text is read."""
    if answers.texts_ME is None:
        return None
    images_E, texts_E = answers.images_NE.mean(dim=0), answers.texts_ME.mean(dim=0)
    value = float(torch.linalg.norm((images_E - texts_E).double()))
    return value if value == value else None


def modality_gap(student: Answers, teacher: Answers | None) -> dict[str, Any]:
    """The gap of a model, and its teacher's."""
    return {
        "value": gap(student),
        "teacher": None if teacher is None else gap(teacher),
    }
