"""The size that is wanted: one value."""

from __future__ import annotations

from typing import Any

import pytest

from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.goal import SizeGoal
from tinyclip.shapes import ClipShape


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target", 0.0),
        ("target", 1.1),
        ("target", float("nan")),
        ("target", "0.5"),
        ("target", None),
        ("budget", "pounds"),
        ("layout", "round"),
        ("round_to", 0),
        ("round_to", "8"),
        ("towers", "image"),
        ("towers", ("imge",)),
        ("towers", None),
    ],
)
def test_a_goal_that_cannot_be_is_refused_where_it_is_made(
    field: str, value: Any
) -> None:
    with pytest.raises(UserError) as refused:
        SizeGoal(**{field: value})
    assert refused.value.where == field


def test_shares_count_from_the_reference_once_there_is_one(
    pico_shape: ClipShape,
) -> None:
    own = SizeGoal(0.5, "total", towers=("image",)).against(pico_shape)
    assert own.share(pico_shape) == 1
    assert own.reference == cost.size(pico_shape, "total", ("image",))
    other = SizeGoal(0.5, reference=2 * own.reference).against(pico_shape)
    assert other.reference == 2 * own.reference


def test_a_goal_is_a_share_with_settings_or_whole() -> None:
    goal = SizeGoal(0.3, "macs")
    assert SizeGoal.of(0.3, budget="macs") == SizeGoal.of(goal) == goal
    assert SizeGoal.of(goal, layout="uniform").layout == "uniform"
