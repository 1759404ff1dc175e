"""Figures and plain values as a person reads them."""

from __future__ import annotations

from tinyclip.words import amount, on_a_line, rounded


def test_numbers_are_short_when_large_and_whole_when_small() -> None:
    assert rounded(25_296_896) == "25.30 M"
    assert rounded(9286) == "9.29 k"
    assert rounded(9286, full=1e6) == "9,286"
    assert rounded(1.5e12) == "1.50 T"


def test_an_amount_has_its_unit_where_it_is_written() -> None:
    assert amount(9286, "parameters") == "9,286 parameters"
    assert amount(25_296_896, "MACs") == "25.30 M MACs"
    assert amount(25_296_896, "B") == "25.30 MB"
    assert amount(92, "B") == "92 B"


def test_a_table_on_a_line_says_nothing_of_what_is_not_known() -> None:
    told = {"teacher": None, "data": "MIT", "kinds": {"empty": 2}, "towers": ["image"]}
    assert on_a_line(told) == "data MIT, kinds (empty 2), towers image"
    assert on_a_line(["image", "text"]) == "image, text"
    assert on_a_line(0.25) == "0.25"
