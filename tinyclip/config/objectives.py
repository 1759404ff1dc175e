"""What a recipe asks of an objective: a weight, and options where it has some.

`losses: {mimic: 1.0, affinity: {weight: 0.5, direction: image}}`. Which objectives and
options there are is the knowledge of `losses`, a room above.
"""

from __future__ import annotations

from typing import Any, TypeAlias

WEIGHT = "weight"
Asked: TypeAlias = float | dict[str, Any]
Losses: TypeAlias = dict[str, Asked]
Strategies: TypeAlias = dict[str, object]  # options by name


def weight_of(asked: Asked) -> float:
    """What the objective is multiplied with."""
    if isinstance(asked, dict):
        return float(asked.get(WEIGHT, 1.0))
    return asked


def options_of(asked: Asked) -> dict[str, Any]:
    """Its options by name, as they were written."""
    if not isinstance(asked, dict):
        return {}
    return {name: value for name, value in asked.items() if name != WEIGHT}
