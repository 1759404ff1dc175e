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
