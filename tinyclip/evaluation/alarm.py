"""The alarm: a task that a student lost, which a good average would hide."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

BOUND = 0.5  # retention under it is a collapse
FAR = 0.75  # of the median retention; a task under that is far from the others
LEAST = 3  # tasks that have a median worth comparing with


def alarms(tasks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tasks that raise it, the worst first.

    A task does where its retention is under `BOUND`, or under `FAR` times the median of
    all tasks, and the paired interval says that the student is worse at all.

    Args:
        tasks: by name: `metric`, `value`, `chance`, `floor` (0 where it is not said),
            `teacher`, `retention` and `difference` with its `ci95`.

    Returns:
        Of each: `task`, `metric`, `value`, `teacher`, `retention`, `chance`, `floor`,
        `median` (of all retentions; None with few) and `reasons`: `bound`, `median`.
    """
    kept = [task["retention"] for task in tasks.values() if _compared(task)]
    middle = median(kept) if len(kept) >= LEAST else None
    found = []
    for name, task in tasks.items():
        reasons = _reasons(task, middle) if _compared(task) and _is_worse(task) else []
        if reasons:
            shown = ("metric", "value", "teacher", "retention", "chance")
            told = {key: task[key] for key in shown}
            told["floor"] = task.get("floor", 0.0)
            found.append({"task": name, **told, "median": middle, "reasons": reasons})
    return sorted(found, key=lambda alarm: float(alarm["retention"]))


def _compared(task: Mapping[str, Any]) -> bool:
    return task["retention"] is not None


def _is_worse(task: Mapping[str, Any]) -> bool:
    sure = (task.get("difference") or {}).get("ci95")
    return sure is not None and sure[1] < 0


def _reasons(task: Mapping[str, Any], middle: float | None) -> list[str]:
    retention = task["retention"]
    bound = ["bound"] if retention < BOUND else []
    far = ["median"] if middle is not None and retention < FAR * middle else []
    return bound + far


def lost(tasks: Mapping[str, Mapping[str, Any]], least: float) -> dict[str, float]:
    """The retention of each task that keeps less than a share, the worst first.

    What a choice keeps above chance is a quotient of two small differences: there the
    paired interval must say that the student is worse at all, as for an alarm.
    """
    kept = {
        name: float(task["retention"])
        for name, task in tasks.items()
        if _compared(task)
        and task["retention"] < least
        and (not task.get("floor") or _is_worse(task))
    }
    return dict(sorted(kept.items(), key=lambda item: item[1]))
