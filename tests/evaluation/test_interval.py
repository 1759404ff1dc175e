"""The interval of a share."""

from __future__ import annotations

import pytest

from tinyclip.evaluation.interval import wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe 1998, table I, method 3 (score without continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_figures(hits, n, low, high) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_a_perfect_score_is_not_certain() -> None:
    low, high = wilson(20, 20)
    assert high == 1.0
    assert low == pytest.approx(1 - 0.1611, abs=5e-5)


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="nothing"):
        wilson(0, 0)
