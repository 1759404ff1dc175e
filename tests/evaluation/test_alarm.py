"""When a lost task raises the alarm, and when it does not."""

from __future__ import annotations

import pytest

from tinyclip.evaluation.alarm import alarms, lost


def task(retention: float | None, high: float = -0.01) -> dict:
    value = None if retention is None else 0.8 * retention
    return {
        "metric": "top1",
        "value": value,
        "chance": 0.1,
        "teacher": 0.8,
        "retention": retention,
        "difference": {"ci95": [-1.0, high]},
    }


def raised(*retentions: float | None, **more) -> dict[str, list[str]]:
    tasks = {f"t{i}": task(kept, **more) for i, kept in enumerate(retentions)}
    return {alarm["task"]: alarm["reasons"] for alarm in alarms(tasks)}


def test_a_task_under_the_bound_is_an_alarm() -> None:
    assert raised(0.49) == {"t0": ["bound"]}
    assert raised(0.5) == {}


def test_a_task_far_under_the_median_is_an_alarm() -> None:
    assert raised(0.96, 0.94, 0.7) == {"t2": ["median"]}
    assert raised(0.96, 0.94, 0.72) == {}


def test_two_tasks_have_no_median_to_be_far_from() -> None:
    assert raised(0.96, 0.6) == {}


def test_the_worst_is_first() -> None:
    assert list(raised(0.4, 0.1, 0.3)) == ["t1", "t2", "t0"]


def test_what_may_be_chance_is_no_alarm() -> None:
    """The student may be as good: the paired interval reaches 0."""
    assert raised(0.2, high=0.0) == {}


def test_without_a_teacher_there_is_no_alarm() -> None:
    assert raised(None, None) == {}
    assert alarms({"t": {**task(0.1), "difference": None}}) == []


@pytest.mark.parametrize(
    ("least", "names"), [(0.9, ["b", "a"]), (0.5, ["b"]), (0.1, [])]
)
def test_tasks_that_keep_less_than_asked_for_are_named_the_worst_first(
    least, names
) -> None:
    tasks = {"a": task(0.8), "b": task(0.3), "c": task(0.9), "d": task(None)}
    assert list(lost(tasks, least)) == names


def test_what_a_choice_keeps_above_chance_counts_where_it_is_surely_less() -> None:
    choice = {**task(0.3, high=0.02), "floor": 0.5}
    assert lost({"order": choice}, 0.9) == {}
    assert lost({"order": {**task(0.3, high=-0.02), "floor": 0.5}}, 0.9) == {
        "order": 0.3
    }
    assert lost({"top1": {**task(0.3, high=0.02), "floor": 0.0}}, 0.9) == {"top1": 0.3}
    assert lost({"old": task(0.3, high=0.02)}, 0.9) == {"old": 0.3}
