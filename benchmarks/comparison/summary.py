"""What a comparison comes to: medians over seeds, and differences to the baseline."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .measured import UNSHOWN, Hits, unpacked
from .paired import paired
from .work import Row

WHERE = ("target", "data", "steps")  # what rows have in common that are compared


def summary(
    rows: Sequence[Row],
    baseline: str,
    concepts: Mapping[str, NDArray[np.int64]],
    unshown: Mapping[str, Hits | None],
) -> list[dict[str, Any]]:
    """An entry a method and place in the grid, in the order of the rows.

    Args:
        rows: with the answers of every item.
        baseline: the method whose cells of the same place and seeds are compared with.
        concepts: of the items of each task.
        unshown: by data, the designer's items that it has no picture of.
    """
    by_place: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        place = tuple(row[key] for key in ("method", *WHERE))
        by_place.setdefault(place, []).append(row)
    entries = []
    for (method, *where), own in by_place.items():
        theirs = {row["seed"]: row for row in by_place.get((baseline, *where), [])}
        both = [(row, theirs[row["seed"]]) for row in own if row["seed"] in theirs]
        of_data = with_concepts_of(concepts, unshown.get(str(own[0]["data"])))
        entries.append(
            {
                "method": method,
                **dict(zip(WHERE, where, strict=True)),
                "seeds": sorted(row["seed"] for row in own),
                "rate": own[0]["rate"],
                "samples": own[0]["samples"],
                "share_encoder": median(own, "share_encoder"),
                "seconds": median(own, "seconds"),
                "cpu_seconds": median(own, "cpu_seconds"),
                "tasks": {task: _task(own, task) for task in own[0]["tasks"]},
                "over_baseline": {} if method == baseline else over(both, of_data),
            }
        )
    return entries


def with_concepts_of(
    concepts: Mapping[str, NDArray[np.int64]], unshown: Hits | None
) -> dict[str, NDArray[np.int64]]:
    """Those of the items that data does not show, beside the others."""
    more = {} if unshown is None else {UNSHOWN: concepts["designer"][unshown]}
    return {**concepts, **more}


def median(rows: Sequence[Row], key: str) -> float:
    return float(statistics.median(row[key] for row in rows))


def _task(rows: Sequence[Row], task: str) -> dict[str, Any]:
    """Median and range of a task over seeds."""
    cells = [row["tasks"][task] for row in rows]
    values = [cell["value"] for cell in cells]
    value, teacher = statistics.median(values), cells[0]["teacher"]
    return {
        "value": value,
        "low": min(values),
        "high": max(values),
        "n": cells[0]["n"],
        "teacher": teacher,
        "retention": value / teacher if teacher else None,
    }


def over(
    pairs: Sequence[tuple[Row, Row]], concepts: Mapping[str, NDArray[np.int64]]
) -> dict[str, Any]:
    """How far each task is above the baseline's, with its 95 % interval.

    Args:
        pairs: a row and the baseline's of the same seed.
        concepts: of the items of each task.
    """
    if not pairs:
        return {}
    mine, theirs = zip(
        *((unpacked(own["hits"]), unpacked(their["hits"])) for own, their in pairs),
        strict=True,
    )
    return {
        task: asdict(
            paired([h[task] for h in mine], [h[task] for h in theirs], concepts[task])
        )
        for task in mine[0]
    }
