"""What a JSON file must hold, and what is said where it holds something else."""

from __future__ import annotations

from typing import Any

import pytest

from tinyclip.typed import Maybe, misfit

KIND = {
    "name": str,
    "rows": int,
    "parts": [{"share": float}],
    "more": Maybe({str: bool}),
}
FITTING = {"name": "a", "rows": 0, "parts": [{"share": 1}], "beside": None}


def test_what_fits_has_nothing_wrong() -> None:
    assert misfit(FITTING, KIND) == ""
    assert misfit({**FITTING, "more": {"x": True}}, KIND) == ""


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"name": None}, "name: wants a text, not None"),
        ({"rows": -1}, "rows: wants a number of things, not -1"),
        ({"rows": True}, "rows: wants a number of things, not True"),
        ({"rows": 1.0}, "rows: wants a number of things, not 1.0"),
        ({"rows": 2**63}, "rows: wants a number of things, not 9223372036854775808"),
        ({"parts": {}}, "parts: wants a list, not {}"),
        ({"parts": [{"share": "1"}]}, "parts[0].share: wants a number, not '1'"),
        (
            {"parts": [{"share": float("nan")}]},
            "parts[0].share: wants a number, not nan",
        ),
        (
            {"parts": [{"share": 10**400}]},
            f"parts[0].share: wants a number, not 1{'0' * 35} ...",
        ),
        ({"more": {"x": 1}}, "more.x: wants true or false, not 1"),
        ({"name": "x", "parts": [3]}, "parts[0]: wants a table, not 3"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], wrong: str) -> None:
    assert misfit({**FITTING, **change}, KIND) == wrong


def test_what_is_missing_is_named() -> None:
    assert misfit({"rows": 1, "parts": []}, KIND) == "name is missing"


@pytest.mark.parametrize("value", [[], None, 3, "text"])
def test_no_table_at_all_is_told(value: Any) -> None:
    assert misfit(value, KIND).startswith("wants a table, not")


def test_a_long_value_is_told_in_short() -> None:
    assert len(misfit("x" * 10_000, int)) < 90
