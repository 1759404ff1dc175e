"""The size that is wanted: one value from the recipe to the choice of units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from . import cost
from .errors import UserError, nearest
from .shapes import TOWERS, ClipShape

LAYOUTS = ("ragged", "uniform")
TOLERANCE = 0.005  # law 2


@dataclass(frozen=True)
class SizeGoal:
    """A size, what it counts, and what may be done to reach it.

    Args:
        target: wanted size as a share of `reference`.
        budget: how sizes are counted: an entry of `cost.BUDGETS`.
        layout: `ragged`, or `uniform` for a stock configuration.
        reference: a size in `budget` of the named towers; the cut model's own, unless
            given.
        towers: which of them shrink and count; the others stay as they are.
        round_to: ffn and embed widths that shrink become multiples of this. 8 is as
            fast as a CPU gets.

    Raises:
        UserError: a value is no share, no budget, no layout or no multiple.
    """

    # round_to, measured: a pair of Linears 768 -> n -> 768 on 1,600 rows takes per
    # unit, beside n = 1536, 14 % more at 1531 and 1537, 11 % at 1538, 7 % at 1540 and
    # nothing at 1528 and 1544; on 50 rows, one picture, no width makes a difference
    # (float32, one AMD EPYC thread)
    target: float = 0.5
    budget: str = "encoder"
    layout: str = "ragged"
    reference: float | None = None
    towers: tuple[str, ...] = TOWERS
    round_to: int = 1

    def __post_init__(self) -> None:
        listed = isinstance(self.towers, tuple | list)
        if not listed or not all(name in TOWERS for name in self.towers):
            raise UserError(
                "towers",
                f"{self.towers!r} is no list of towers",
                f"Give those of {', '.join(TOWERS)} that shrink",
            )
        object.__setattr__(self, "towers", tuple(self.towers))
        # a NaN is in no range
        if not _is_number(self.target, Real) or not 0 < self.target <= 1:
            raise UserError(
                "target", f"{self.target!r} is no share", "Give one in (0, 1]"
            )
        if self.layout not in LAYOUTS:
            raise UserError(
                "layout",
                f"unknown layout {self.layout!r}",
                nearest(self.layout, LAYOUTS),
            )
        if not _is_number(self.round_to, Integral) or self.round_to < 1:
            raise UserError(
                "round_to",
                f"{self.round_to!r} is no multiple to round to",
                "Give 1 or more",
            )
        cost.budget_named(self.budget)

    @classmethod
    def of(cls, target: float | SizeGoal, **settings: Any) -> SizeGoal:
        """The goal as a caller gives it: whole, or a share and other fields by name."""
        if isinstance(target, SizeGoal):
            return replace(target, **settings)
        return cls(target, **settings)

    @property
    def uniform(self) -> bool:
        return self.layout == "uniform"

    def size(self, shape: ClipShape) -> Any:
        """How large a shape is in this budget, the named towers alone."""
        return cost.size(shape, self.budget, self.towers)

    def against(self, shape: ClipShape) -> SizeGoal:
        """The same share, counted from a shape unless it has its reference."""
        if self.reference is not None:
            return self
        return replace(self, reference=self.size(shape))

    def share(self, shape: ClipShape) -> Any:
        """A shape's size as a share of the reference."""
        assert self.reference is not None, "`against` gives it one"
        return self.size(shape) / self.reference


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
