"""What a comparison will take, from the cells that are finished."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from .cells import Cell
from .work import Row, Work

CLOCKS = {"all_seconds": "seconds", "all_cpu_seconds": "cpu_seconds"}


def seconds_of(
    cell: Cell, rows: Sequence[Row], clock: str = "all_seconds"
) -> float | None:
    """About how long a cell takes: as the finished one that is most like it, its
    steps in proportion; None where none is like it.

    Args:
        clock: on the wall, or of the processor, which a busy machine changes little.
    """
    alike = [row for row in rows if bool(row["steps"]) == bool(cell.steps)]
    own = [row for row in alike if row["method"] == cell.method] or alike
    if not own:
        return None

    def unlike(row: Row) -> tuple[float, float]:
        steps = math.log(row["steps"] / cell.steps) if cell.steps else 0.0
        return abs(math.log(row["target"] / cell.target)), abs(steps)

    def scaled(row: Row) -> float:
        steps = row["step_share"] * row[CLOCKS[clock]]
        times = cell.steps / row["steps"] if cell.steps else 1.0
        return float(row[clock] - steps + steps * times)

    nearest = min(map(unlike, own))
    return statistics.median(scaled(row) for row in own if unlike(row) == nearest)


def searches(work: Work, cells: Sequence[Cell]) -> list[Cell]:
    """The cells at which learning rates are chosen for others."""
    if len(work.search.rates) == 1:
        return []
    asked = [work.methods[c.method].rate_of or c.method for c in cells if c.steps]
    return [one for method in dict.fromkeys(asked) for one in work.search.cells(method)]


def listing(work: Work, cells: Sequence[Cell]) -> str:
    """Every cell in its order, whether it is finished, and about how long it takes."""
    rows = work.finished()
    left, unknown = dict.fromkeys(CLOCKS, 0.0), 0
    lines, count = [], 0
    settled = [work.settled(cell) or cell for cell in cells]
    for cell in dict.fromkeys([*searches(work, cells), *settled]):
        if (work.place(cell) / "row.json").exists():
            lines.append(f" finished    {cell}")
            continue
        count += 1
        seconds = {clock: seconds_of(cell, rows, clock) for clock in CLOCKS}
        unknown += None in seconds.values()
        for clock, value in seconds.items():
            left[clock] += value or 0.0
        wall = seconds["all_seconds"]
        lines.append(f"{'?' if wall is None else f'{wall:.0f} s':>9}    {cell}")
    wall, cpu = (left[clock] / 60 for clock in CLOCKS)
    total = (
        f"{len(lines)} cells, {count} to run: about {wall:.0f} minutes of one process "
        f"on this machine so far, {cpu:.0f} of a processor"
    )
    if unknown:
        total += f"; of {unknown} of them nothing alike is finished"
    return "\n".join([*lines, total])
