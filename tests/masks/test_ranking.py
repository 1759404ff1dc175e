"""Which units stay when every layer keeps a multiple."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.masks.ranking import Ranking, split_keep


@settings(max_examples=60, deadline=None)
@given(
    units=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    step=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    part=st.floats(0, 1),
)
def test_no_other_choice_of_multiples_keeps_more_score(
    units: list[int], step: int, seed: int, part: float
) -> None:
    score_U = np.random.default_rng(seed).normal(size=sum(units))
    teams = [width // step for width in units]
    count = step * int(part * sum(teams))
    keeps = split_keep(Ranking(score_U, score_U), units, count, False, step)
    layers = np.split(score_U, np.cumsum(units)[:-1])
    kept = sum(
        score_L[list(keep.kept)].sum()
        for score_L, keep in zip(layers, keeps, strict=True)
    )
    assert sum(map(len, keeps)) == count
    assert all(len(keep) % step == 0 for keep in keeps)
    best = max(
        sum(
            np.sort(score_L)[::-1][: number * step].sum()
            for score_L, number in zip(layers, numbers, strict=True)
        )
        for numbers in product(*(range(team + 1) for team in teams))
        if step * sum(numbers) == count
    )
    assert kept >= best - 1e-9


def test_equal_scores_empty_all_layers_alike_in_multiples() -> None:
    scores = np.zeros(36)
    keeps = split_keep(Ranking(scores, scores), (12, 12, 12), 16, False, 4)
    assert [keep.kept for keep in keeps] == [
        tuple(range(8)),
        (0, 1, 2, 3),
        (0, 1, 2, 3),
    ]


def test_the_units_of_a_layer_keep_their_own_scales() -> None:
    scores = np.array([0.0, 3.0, 1.0, 2.0, 9.0, 0.5])
    ranking = Ranking(scores, scores, scores / 10)
    first, second = split_keep(ranking, (4, 2), 4, False, 2)
    assert (first.kept, first.scale) == ((1, 3), (0.3, 0.2))
    assert (second.kept, second.scale) == ((0, 1), (0.9, 0.05))
