"""What differs between two tables, by its path."""

from __future__ import annotations

from tinyclip.differences import differences


def test_each_value_that_is_not_the_same_comes_with_both() -> None:
    before = {"seed": 0, "data": {"source": "a", "crop": 0.9}, "sizes": [1, 2]}
    now = {"seed": 1, "data": {"source": "b", "crop": 0.9}, "sizes": [1, 3]}
    assert differences(before, now) == [
        ("data.source", "a", "b"),
        ("seed", 0, 1),
        ("sizes", [1, 2], [1, 3]),
    ]
    assert differences(now, now) == []


def test_lists_of_tables_are_looked_into_and_what_one_lacks_is_none() -> None:
    before = {"stages": [{"batch": 8}]}
    now = {"stages": [{"batch": 8, "scale": 50.0}, {"batch": 4}]}
    assert differences(before, now) == [
        ("stages[0].scale", None, 50.0),
        ("stages[1].batch", None, 4),
    ]


def test_what_one_side_lacks_can_be_told_from_none() -> None:
    absent = object()
    assert differences({"a": None}, {}, absent) == [("a", None, absent)]
