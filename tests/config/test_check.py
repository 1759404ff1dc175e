"""Plain values become frozen settings, or a message that names key and remedy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from tinyclip.config.check import resolve
from tinyclip.config.place import Place
from tinyclip.errors import UserError

FILE = Place("half.yaml")


@dataclass(frozen=True, kw_only=True)
class Inner:
    heads: int = field(default=1, metadata={"low": 1, "high": 9})


@dataclass(frozen=True, kw_only=True)
class Outer:
    rate: float = field(default=0.1, metadata={"above": 0.0, "below": 1.0})
    name: str = "a"
    flag: bool = False
    kind: Literal["one", "two"] = "one"
    some: float | None = None
    pair: tuple[float, float] = field(default=(0.0, 0.0), metadata={"high": 1.0})
    many: tuple[Inner, ...] = ()
    losses: dict[str, float] = field(default_factory=dict, metadata={"low": 0.0})
    inner: Inner = Inner()


def refusal(value: Any) -> str:
    with pytest.raises(UserError) as caught:
        resolve(Outer, value, FILE)
    return str(caught.value)


def test_what_is_not_named_keeps_its_default() -> None:
    assert resolve(Outer, {"inner": {"heads": 3}}, FILE) == Outer(inner=Inner(heads=3))


def test_lists_become_tuples_and_whole_numbers_numbers() -> None:
    outer = resolve(Outer, {"pair": [0, 1], "many": [{"heads": 2}], "some": 1}, FILE)
    assert outer == Outer(pair=(0.0, 1.0), many=(Inner(heads=2),), some=1.0)
    assert isinstance(outer.pair[0], float)
    assert isinstance(outer.some, float)


def test_nothing_is_a_value_only_where_it_may_be() -> None:
    assert resolve(Outer, {"some": None}, FILE).some is None
    assert refusal({"name": None}) == "half.yaml: name: wants text, not nothing"


def test_an_unknown_key_says_where_and_what_was_meant() -> None:
    assert refusal({"many": [{}, {"hedas": 3}]}) == (
        "half.yaml: many[1]: unknown key 'hedas'. Did you mean 'heads'?"
    )
    assert refusal({"nmae": 3}).startswith("half.yaml: unknown key 'nmae'")


@pytest.mark.parametrize(
    ("value", "written"),
    [("1e-4", "1.0e-4"), ("1e4", "1.0e+4"), ("2.5E3", "2.5e+3"), ("-1e+2", "-1.0e+2")],
)
def test_a_number_that_yaml_took_for_text_is_spelled_out(
    value: str, written: str
) -> None:
    assert refusal({"rate": value}).endswith(f"write {written}")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"rate": "fast"}, "rate: wants a number, not the text 'fast'"),
        ({"rate": True}, "rate: wants a number, not True"),
        ({"rate": math.nan}, "rate: wants a finite number, not nan"),
        ({"some": math.inf}, "some: wants a finite number, not inf"),
        ({"some": 10**400}, "some: wants a finite number, not inf"),
        ({"inner": {"heads": True}}, "inner.heads: wants a whole number, not True"),
        ({"inner": {"heads": 2.0}}, "inner.heads: wants a whole number, not 2.0"),
        ({"inner": 3}, "inner: wants settings by name, not 3"),
        ({"flag": 1}, "flag: wants true or false, not 1"),
        ({"flag": "yes"}, "flag: wants true or false, not the text 'yes'"),
        ({"name": 3}, "name: wants text, not 3"),
        ({"kind": "too"}, "kind: cannot be the text 'too'. Did you mean 'two'?"),
        ({"kind": ["one"]}, "kind: cannot be the list ['one']. Did you mean 'one'?"),
        ({"pair": 1}, "pair: wants a list, not 1"),
        ({"pair": "ab"}, "pair: wants a list, not the text 'ab'"),
        ({"pair": [1]}, "pair: wants 2 values, not 1"),
        ({"pair": [0, "x"]}, "pair[1]: wants a number, not the text 'x'"),
        ({"losses": [1]}, "losses: wants numbers by name, not the list [1]"),
        ({"losses": {"a": "b"}}, "losses.a: wants a number, not the text 'b'"),
        ({"losses": {1: 1.0}}, "losses: wants names as keys, not 1"),
    ],
)
def test_a_wrong_type_is_refused(value: Any, words: str) -> None:
    assert refusal(value) == f"half.yaml: {words}"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"rate": 0.0}, "rate: must be more than 0, not 0.0"),
        ({"rate": 1}, "rate: must be less than 1, not 1.0"),
        ({"inner": {"heads": 0}}, "inner.heads: must be at least 1, not 0"),
        ({"inner": {"heads": 10}}, "inner.heads: must be at most 9, not 10"),
        ({"pair": [0, 2]}, "pair[1]: must be at most 1, not 2.0"),
        ({"losses": {"a": -1}}, "losses.a: must be at least 0, not -1.0"),
    ],
)
def test_a_value_out_of_bounds_is_refused(value: Any, words: str) -> None:
    assert refusal(value) == f"half.yaml: {words}"


def test_a_huge_wrong_value_makes_a_short_message() -> None:
    value: Any = []
    for _ in range(60):
        value = [value, value]  # a few lines of YAML with aliases
    assert len(refusal({"name": value})) < 200
