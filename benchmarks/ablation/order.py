"""Which cells are run, in which order, and which mixes are the best so far."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from comparison.cells import Cell
from comparison.work import Row

from .entries import CLIP_KD, MIX, NONE, TODAY, Entry
from .kept import Ablation

TARGET, STEPS = 0.25, 150
BEST = 2  # mixes that get all seeds before all others do
OTHER_RATES = (0.0007, 0.0028)  # at which the winner and mimic are looked at again
RATED = "mimic"


@dataclass(frozen=True)
class Axes:
    """What is asked for.

    Args:
        entries: by their names.
        data: choices of data; other rates are looked at on the first.
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

    def named(self, kind: str) -> list[str]:
        """The entries of a kind."""
        return [name for name, entry in self.entries.items() if entry.kind == kind]

    def rated(self, names: Iterable[str]) -> list[Cell]:
        """Those that are asked for, at the other rates, on the first choice of data."""
        known = [name for name in dict.fromkeys(names) if name in self.entries]
        (seed, *_), (data, *_) = self.seeds, self.data
        at = [Cell(n, TARGET, data, self.steps, seed, self.rate) for n in known]
        return [replace(cell, rate=rate) for rate in self.rates for cell in at]

    def inherited(self) -> list[Cell]:
        """The students before they learn."""
        return [Cell(NONE, TARGET, data, 0, 0) for data in self.data]


def rows_of(work: Ablation, axes: Axes) -> list[Row]:
    """Every row that is there or can be made in the time.

    The first seed of all but CLIP-KD's forms, whose place is in the orders; further
    seeds of today's losses and the best mixes; other rates; CLIP-KD's forms; further
    seeds of all others, the best first.
    """
    names = {kind: axes.named(kind) for kind in (MIX, CLIP_KD)}
    single = [n for n in axes.entries if n not in {*names[MIX], *names[CLIP_KD]}]
    first, more = axes.seeds[:1], axes.seeds[1:]
    rows = work.rows(axes.inherited())
    rows += work.rows(axes.cells([*single, *names[MIX]], first))
    again = [TODAY, *best(rows, names[MIX], axes.rate, BEST)]
    again = [name for name in again if name in axes.entries]
    rows += work.rows(axes.cells(again, more))
    rated = [*best(rows, axes.entries, axes.rate, 1), RATED]
    rows += work.rows(axes.rated(rated))
    rows += work.rows(axes.cells(names[CLIP_KD], first))
    rest = [name for name in axes.entries if name not in again]
    for name in best(rows, rest, axes.rate, len(rest)):
        rows += work.rows(axes.cells([name], more))
    return rows


def best(
    rows: Sequence[Row], names: Iterable[str], rate: float, count: int
) -> list[str]:
    """Those that do best on dev at a rate: the highest mean of top-1 over data and
    seeds; of equals the one whose similarities are nearer to the teacher's."""
    at_rate = [row for row in rows if row["rate"] == rate]

    def worth(name: str) -> tuple[float, float]:
        own = [row for row in at_rate if row["method"] == name]
        right = statistics.mean(row["tasks"]["dev"]["value"] for row in own)
        return right, -statistics.mean(row["divergence"]["dev"] for row in own)

    there = {row["method"] for row in at_rate}
    known = [name for name in names if name in there]
    return sorted(known, key=worth, reverse=True)[:count]
