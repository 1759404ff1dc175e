"""How sure a difference between two methods is.

Legend: S seeds, N items, C concepts, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
BETWEEN = (2.5, 97.5)  # per cent


@dataclass(frozen=True)
class Difference:
    """A mean difference of shares and its 95 % interval."""

    value: float
    low: float
    high: float


def paired(
    mine_SN: Sequence[NDArray[np.bool_]],
    theirs_SN: Sequence[NDArray[np.bool_]],
    concept_N: NDArray[np.int64],
    draws: int = DRAWS,
) -> Difference:
    """Mine less theirs on the same items, both of the same seeds in turn.

    A paired bootstrap (Efron and Tibshirani 1993, §8; percentile interval) that draws
    concepts, so that several drawings of one fall together, and seeds.

    Raises:
        ValueError: not the same number of seeds, or none.
    """
    pairs = list(zip(mine_SN, theirs_SN, strict=True))
    if not pairs:
        raise ValueError("no pair of seeds")
    # of a part of a task's items, some concepts are not there
    concept_N = np.unique(concept_N, return_inverse=True)[1]
    concepts = int(concept_N.max()) + 1
    gain_SC = np.stack(
        [
            np.bincount(concept_N, mine.astype(float) - theirs, minlength=concepts)
            for mine, theirs in pairs
        ]
    )
    items_C = np.bincount(concept_N, minlength=concepts)
    draw = np.random.default_rng(0)
    even_C, even_S = (
        np.full(concepts, 1 / concepts),
        np.full(len(pairs), 1 / len(pairs)),
    )
    times_RC = draw.multinomial(concepts, even_C, size=draws)
    weight_RS = draw.multinomial(len(pairs), even_S, size=draws) / len(pairs)
    drawn_R = (times_RC * (weight_RS @ gain_SC)).sum(1) / (times_RC @ items_C)
    low, high = np.percentile(drawn_R, BETWEEN)
    value = gain_SC.sum() / (len(pairs) * items_C.sum())
    return Difference(float(value), float(low), float(high))
