"""Objectives on tokens, transcribed from their papers: NumPy float64, loops.

Legend: B batch, N tokens, D the student's embed, F the teacher's. Small letters are the
student's, capitals the teacher's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPS = 1e-5


def normalised(x: Array, full: int | None = None) -> Array:
    """LayerNorm without weights; of a rotated stream, over the root of its squares."""
    if full is not None:
        return np.asarray(x / np.sqrt(np.square(x).sum(-1, keepdims=True) / full + EPS))
    centred = x - x.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt(x.var(-1, keepdims=True) + EPS))


def layerwise(
    h: list[Array], H: list[Array], W: Array, lengths: list[int] | None = None
) -> Array:
    """The distance of each pair, (B,): of tokens (B, N, D) and (B, N, F) of layers that
    belong together, normalised, the first tokens of each alone where lengths are told.
    """
    size, tokens = h[0].shape[:2]
    found = np.zeros(size)
    for mine, theirs in zip(h, H, strict=True):
        for i in range(size):
            length = tokens if lengths is None else lengths[i]
            for n in range(length):
                apart = np.square(W @ mine[i, n] - theirs[i, n]).mean()
                found[i] += apart / length / len(h)
    return found


def tat(
    h: Array,
    H: Array,
    gamma: Array,
    theta: Array,
    phi: Array,
    parts: list[tuple[list[int], list[int]]],
    lengths: list[int] | None = None,
    anchors: list[tuple[list[int], list[int]]] | None = None,
) -> Array:
    """The distance of each pair, (B,): of tokens (B, N, D) and (B, M, F).

    Args:
        parts: places of the student's tokens and of the teacher's that rebuild each
            other.
        lengths: how many of a caption's tokens there are; None for all.
        anchors: places of which the means rebuild each other.
    """
    found = np.zeros(len(h))
    for i in range(len(h)):
        most = np.inf if lengths is None else lengths[i]

        def there(places: list[int], most: float = most) -> list[int]:
            return [n for n in places if n < most]

        apart = []
        for mine, theirs in parts:
            own, others = h[i][there(mine)], H[i][there(theirs)]
            apart += [_unlike(own, one, gamma, theta, phi) for one in others]
        found[i] = np.mean(apart)
        if anchors is None:
            continue
        pools = [(there(mine), there(theirs)) for mine, theirs in anchors]
        own = np.array([h[i][mine].mean(0) for mine, _ in pools if mine])
        others = np.array([H[i][theirs].mean(0) for _, theirs in pools if theirs])
        found[i] += np.mean([_unlike(own, one, gamma, theta, phi) for one in others])
    return found


def _unlike(own: Array, one: Array, gamma: Array, theta: Array, phi: Array) -> float:
    """How far a token is from what the others make of it."""
    scores = np.array([(theta @ one) @ (gamma @ x) for x in own]) / len(gamma) ** 0.5
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    rebuilt = sum(w * (phi @ x) for w, x in zip(weights, own, strict=True))
    return float(np.square(rebuilt - one).mean())
