"""Which cells are run, in which order, and which mixes are the best so far."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from comparison.cells import Cell
from comparison.work import Row

from .entries import MIX, NONE, TODAY, Entry
from .kept import Ablation

TARGET, STEPS = 0.25, 150
BEST = 2  # mixes that get all seeds
OTHER_RATES = (0.0007, 0.0028)  # at which the winner and mimic are looked at again
RATED = "mimic"


@dataclass(frozen=True)
class Axes:
    """What is asked for.

    Args:
        entries: by their names.
        data: choices of data.
        seeds: the first one is where mixes are chosen.
        rate: of all entries.
        steps: of each.
        rates: at which the best and `mimic` are looked at again.
    """

    entries: Mapping[str, Entry]
    data: Sequence[str]
    seeds: Sequence[int]
    rate: float
    steps: int = STEPS
    rates: Sequence[float] = OTHER_RATES

    def cells(self, names: Iterable[str], seeds: Sequence[int]) -> list[Cell]:
        """All data of a name before the next name, seed after seed."""
        return [
            Cell(name, TARGET, data, self.steps, seed, self.rate)
            for seed in seeds
            for name in names
            for data in self.data
        ]

    def inherited(self) -> list[Cell]:
        """The students before they learn."""
        return [Cell(NONE, TARGET, data, 0, 0) for data in self.data]


def rows_of(work: Ablation, axes: Axes) -> list[Row]:
    """Every row that is there or can be made in the time: all entries at the first seed
    first, then the best mixes and all others at further seeds, then other rates."""
    single = [name for name, entry in axes.entries.items() if entry.kind != MIX]
    mixes = [name for name, entry in axes.entries.items() if entry.kind == MIX]
    first, more = axes.seeds[:1], axes.seeds[1:]
    rows = work.rows(axes.inherited())
    rows += work.rows(axes.cells([*single, *mixes], first))
    again = [TODAY, *best(rows, mixes, BEST)]
    again = [name for name in again if name in axes.entries]
    rest = [name for name in single if name not in again]
    rows += work.rows(axes.cells([*again, *rest], more))
    rated = [*best(rows, [*single, *mixes], 1), RATED]
    known = [name for name in dict.fromkeys(rated) if name in axes.entries]
    cells = axes.cells(known, first)
    rows += work.rows([replace(c, rate=r) for r in axes.rates for c in cells])
    return rows


def best(rows: Sequence[Row], names: Iterable[str], count: int) -> list[str]:
    """Those with the highest mean of dev's top-1 over data and seeds; of equals the one
    whose similarities there are nearer to the teacher's."""

    def worth(name: str) -> tuple[float, float]:
        own = [row for row in rows if row["method"] == name]
        right = statistics.mean(row["tasks"]["dev"]["value"] for row in own)
        return right, -statistics.mean(row["divergence"]["dev"] for row in own)

    there = {row["method"] for row in rows}
    known = [name for name in names if name in there]
    return sorted(known, key=worth, reverse=True)[:count]
