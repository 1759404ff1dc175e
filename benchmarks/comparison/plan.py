"""What a comparison will take, from the cells that are finished."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from .cells import Cell
from .work import Row, Work


def seconds_of(cell: Cell, rows: Sequence[Row]) -> float | None:
    """About how long a cell takes: as the finished one that is most like it, its
    training in proportion to the steps; None where none is like it."""
    alike = [row for row in rows if bool(row["steps"]) == bool(cell.steps)]
    own = [row for row in alike if row["method"] == cell.method]
    if not alike:
        return None

    def unlike(row: Row) -> tuple[float, float]:
        steps = math.log(row["steps"] / cell.steps) if cell.steps else 0.0
        return abs(math.log(row["target"] / cell.target)), abs(steps)

    nearest = min(map(unlike, own or alike))
    return statistics.median(
        row["all_seconds"]
        - row["seconds"]
        + row["seconds"] * (cell.steps / row["steps"] if cell.steps else 1)
        for row in own or alike
        if unlike(row) == nearest
    )


def searches(work: Work, cells: Sequence[Cell]) -> list[Cell]:
    """The cells at which learning rates are chosen for others."""
    if len(work.search.rates) == 1:
        return []
    asked = [work.methods[c.method].rate_of or c.method for c in cells if c.steps]
    return [one for method in dict.fromkeys(asked) for one in work.search.cells(method)]


def listing(work: Work, cells: Sequence[Cell]) -> str:
    """Every cell in its order, whether it is finished, and about how long it takes."""
    rows = work.finished()
    lines, left, unknown, count = [], 0.0, 0, 0
    settled = [work.settled(cell) or cell for cell in cells]
    for cell in dict.fromkeys([*searches(work, cells), *settled]):
        if (work.place(cell) / "row.json").exists():
            lines.append(f"finished     {cell}")
            continue
        count += 1
        seconds = seconds_of(cell, rows)
        if seconds is None:
            unknown += 1
        else:
            left += seconds
        shown = "?" if seconds is None else f"{seconds:.0f} s"
        lines.append(f"{shown:>9}    {cell}")
    total = f"{len(lines)} cells, {count} to run: about {left / 60:.0f} minutes"
    if unknown:
        total += f", and {unknown} of which nothing alike is finished"
    return "\n".join([*lines, total])
