"""What is compared: the cells of the grid, and which of them are run first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

TARGETS = (0.25, 0.1, 0.5, 0.05)
STEPS = (150, 0, 600, 2400)
SEEDS = (0, 1, 2)
LEARNING = 0.4  # share of a stage's steps in which masks are learned

# Each way to limit what there is to learn from: settings of `data`
DATA: dict[str, dict[str, Any]] = {
    "1000": {"limit": 1000},
    "all": {},
    # what no picture shows of what the teacher knows is what a student loses
    "emoji": {"limit": 1000, "exclude": ("clipart/*",)},
}
GRID_DATA = ("1000", "all")

# How far from the most telling cell each value is: a wave is a fair comparison of all
# methods by itself, whenever it is stopped
DISTANCE: dict[str, dict[Any, int]] = {
    "target": {0.25: 0, 0.1: 1, 0.5: 2, 0.05: 2},
    "data": {"1000": 0, "all": 1, "emoji": 1},
    "steps": {0: 0, 150: 0, 600: 1, 2400: 3},
    "seed": {0: 0, 1: 1, 2: 1},
}
FAR = 2  # of a value that is not named there


@dataclass(frozen=True)
class Cell:
    """One student.

    Args:
        method: its key in `methods.METHODS`.
        target: share of the teacher's encoder that is left.
        data: its key in `DATA`.
        steps: of training altogether, over all stages.
        rate: learning rate; None before it is searched, and where nothing is trained.
    """

    method: str
    target: float
    data: str
    steps: int
    seed: int
    rate: float | None = None

    @property
    def distance(self) -> int:
        """The wave that it is run in."""
        return sum(
            near.get(getattr(self, axis), FAR) for axis, near in DISTANCE.items()
        )

    @property
    def place(self) -> str:
        """What it is, as a folder's name; its method aside."""
        rate = "" if self.rate is None else f"-rate{self.rate:g}"
        return f"{self.target:g}-{self.data}-{self.steps}-seed{self.seed}{rate}"

    def __str__(self) -> str:
        rate = "" if self.rate is None else f", rate {self.rate:g}"
        return (
            f"{self.method}: {self.target:g} of the encoder, data {self.data}, "
            f"{self.steps} steps, seed {self.seed}{rate}"
        )


@dataclass(frozen=True)
class Axes:
    """The grid, or a part of it."""

    methods: Sequence[str]
    targets: Sequence[float] = TARGETS
    data: Sequence[str] = GRID_DATA
    steps: Sequence[int] = STEPS
    seeds: Sequence[int] = SEEDS

    def cells(self, trains: Mapping[str, bool]) -> list[Cell]:
        """Its cells, the most telling first and methods in turn.

        Args:
            trains: of every method whether it is nothing without training.
        """
        every = [
            Cell(method, target, data, steps, seed)
            for target in self.targets
            for data in self.data
            for steps in self.steps
            for seed in self.seeds
            for method in self.methods
            if steps or not trains[method]
        ]
        return sorted(every, key=lambda cell: cell.distance)


@dataclass(frozen=True)
class Search:
    """The cell at which each method's learning rate is chosen, on dev alone.

    Args:
        rates: that are tried; of a single one nothing is searched.
    """

    rates: Sequence[float]
    target: float = TARGETS[0]
    data: str = "1000"
    steps: int = 150
    seed: int = 0

    def cells(self, method: str) -> list[Cell]:
        """One a rate."""
        at = Cell(method, self.target, self.data, self.steps, self.seed)
        return [replace(at, rate=rate) for rate in self.rates]
