"""Objectives transcribed from their papers, NumPy float64, loops where clearer.

Legend: B batch, E joint embedding. Small letters are the student's, capitals the
teacher's; v pictures, s captions, a the scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """What one model makes of a batch: (B, E), (B, E), and its scale."""

    v: Matrix
    s: Matrix
    a: float

    @property
    def z(self) -> Matrix:
        return np.asarray(self.a * self.v @ self.s.T)


def softmax(logits: Matrix) -> Matrix:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def kl(wanted: Matrix, given: Matrix) -> float:
    """KL of rows of logits, the mean over rows."""
    p, q = softmax(wanted), softmax(given)
    return float((p * (np.log(p) - np.log(q))).sum(-1).mean())


def info_nce(z: Matrix) -> float:
    """Rows alone."""
    return float(-np.log(np.diag(softmax(z))).mean())


def contrastive(mine: Side) -> float:
    return (info_nce(mine.z) + info_nce(mine.z.T)) / 2


def feature(mine: Side, theirs: Side) -> float:
    pairs = ((mine.v, theirs.v), (mine.s, theirs.s))
    return float(sum(np.square(x - y).sum(-1).mean() for x, y in pairs))


def bingo(mine: Side, theirs: Side) -> float:
    """Bags of two: a picture and the one that stands next."""
    p = softmax(mine.a * mine.v @ theirs.v.T)
    own = np.arange(len(p))
    both = p[own, own], p[own, (own + 1) % len(p)]
    return float(-sum(np.log(found).mean() for found in both))


def crd(mine: Side, theirs: Side) -> float:
    return kl(theirs.z, mine.z) + kl(theirs.z.T, mine.z.T)


def icl(mine: Side, theirs: Side) -> float:
    to_texts = info_nce(mine.a * mine.v @ theirs.s.T)
    to_images = info_nce(mine.a * mine.s @ theirs.v.T)
    return (to_texts + to_images) / 2


def pulls(side: Side) -> tuple[Matrix, Matrix]:
    """B times the gradient of `contrastive` by each embedding, term by term."""
    p, q = softmax(side.z), softmax(side.z.T)
    by_v, by_s = np.zeros_like(side.v), np.zeros_like(side.s)
    size = len(side.v)
    for i in range(size):
        for b in range(size):
            own = float(i == b)
            by_v[i] += side.a / 2 * (p[i, b] - own) * side.s[b]  # a picture's row
            by_s[b] += side.a / 2 * (p[i, b] - own) * side.v[i]  # its captions
            by_s[i] += side.a / 2 * (q[i, b] - own) * side.v[b]  # a caption's row
            by_v[b] += side.a / 2 * (q[i, b] - own) * side.s[i]  # its pictures
    return by_v, by_s


def gd(mine: Side, theirs: Side) -> float:
    both = zip(pulls(mine), pulls(theirs), strict=True)
    return float(sum(np.square(x - y).sum(-1).mean() for x, y in both))


def kd(
    mine: Side,
    theirs: Side,
    temperature: float = 2.0,
    teacher: float = 1.0,
    divergence: str = "forward",
) -> float:
    total = 0.0
    for x, y in ((mine.z, theirs.z), (mine.z.T, theirs.z.T)):
        x, y = x / temperature, y / temperature
        total += kl(y, x) if divergence == "forward" else kl(x, y)
    return contrastive(mine) + teacher * 2 * temperature**2 * total / 2


def dist(mine: Side, theirs: Side, inter: float = 1.0, intra: float = 1.0) -> float:
    def unlike(x: Matrix, y: Matrix) -> float:
        rows = zip(x, y, strict=True)
        return float(
            np.mean([1 - np.corrcoef(one, other)[0, 1] for one, other in rows])
        )

    rows, columns = unlike(mine.z, theirs.z), unlike(mine.z.T, theirs.z.T)
    return inter * rows + intra * columns


def ickd(mine: Side, theirs: Side) -> float:
    def channels(x: Matrix) -> Matrix:
        return np.asarray(np.mean([np.outer(row, row) for row in x], axis=0))

    pairs = ((mine.v, theirs.v), (mine.s, theirs.s))
    return float(sum(np.square(channels(x) - channels(y)).sum() for x, y in pairs))


def intra(mine: Side, theirs: Side) -> float:
    total = 0.0
    for x, y in ((mine.v, theirs.v), (mine.s, theirs.s)):
        for i in range(len(x)):
            others = [j for j in range(len(x)) if j != i]
            given, wanted = mine.a * x[others] @ x[i], theirs.a * y[others] @ y[i]
            total += kl(wanted[None], given[None]) / len(x) / 2
    return total


def mfi(mine: Side, _: Side, others: float = 1.0) -> float:
    total, size = 0.0, len(mine.s)
    for i in range(size):
        for j in range(size):
            same = mine.s[i] @ mine.s[j]
            total += (same - 1) ** 2 if i == j else others * same**2
    return total / size


def negclip(mine: Side, _: Side) -> float:
    """A pair joins each, as `beside` has it; all captions are swapped."""
    v, s = (np.concatenate([x, np.roll(x, 1, 0)]) for x in (mine.v, mine.s))
    swapped = np.concatenate([-s[len(mine.s) :], 2 * s[len(mine.s) :]])
    by_picture = info_nce(mine.a * v @ np.concatenate([s, swapped]).T)
    return (by_picture + info_nce(mine.a * s @ v.T)) / 2


FORMULAS: dict[str, Callable[..., Any]] = {
    "bingo": bingo,
    "crd": crd,
    "dist": dist,
    "fd": feature,
    "feature": feature,
    "gd": gd,
    "ickd": ickd,
    "icl": icl,
    "intra": intra,
    "kd": kd,
    "mfd": feature,
    "mfi": mfi,
    "negclip": negclip,
}
