"""Captions with two words of a kind swapped."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyclip.data.swapped import READ, swapped


def all_of(text: str) -> set[str | None]:
    return {swapped(text, draw) for draw in range(50)}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        (
            "a red cube and a blue ball",
            {"a blue cube and a red ball", "a red ball and a blue cube"},
        ),
        ("a dog chasing a cat", {"a cat chasing a dog"}),
        ("A man riding a horse.", {"A horse riding a man."}),
        (
            "two children playing and jumping in the park",
            {
                "two park playing and jumping in the children",
                "two children jumping and playing in the park",
            },
        ),
        ("singer, actor, stage", {"actor, singer, stage", "stage, actor, singer",
                                  "singer, stage, actor"}),
        ("ein roter großer Würfel", {"ein großer roter Würfel",
                                     "roter ein großer Würfel",
                                     "großer roter ein Würfel"}),
    ],
)  # fmt: skip
def test_words_that_stand_alike_change_places(text: str, becomes: set[str]) -> None:
    assert all_of(text) == becomes


@pytest.mark.parametrize(
    "text",
    ["a dog", "red apple", "", "a dog and a Dog", "the of and", "猫が走る", "-ing"],
)
def test_what_has_no_two_words_of_a_kind_has_none(text: str) -> None:
    assert all_of(text) == {None}


def test_it_becomes_none_of_the_captions_that_are_right() -> None:
    text, other = "a cat and a dog", "a dog and a cat"
    assert all_of(text) == {other}
    assert swapped(text, 0, known=[other]) is None
    three = "a cat and a dog and a cow"
    right = "a dog and a cat and a cow"
    found = {swapped(three, draw, known=[right]) for draw in range(9)}
    assert found == {"a cow and a dog and a cat", "a cat and a cow and a dog"}


def test_words_far_behind_are_not_looked_at() -> None:
    assert swapped("the " * READ + "dog and cat", 0) is None


@given(text=st.text(max_size=200), draw=st.integers(0, 2**63))
def test_nothing_but_two_words_changes(text: str, draw: int) -> None:
    found = swapped(text, draw)
    assert found == swapped(text, draw)
    if found is None:
        return
    assert Counter(found) == Counter(text) and found != text

    def parts(of: str) -> list[str]:
        return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", of)

    pairs = zip(parts(text), parts(found), strict=True)
    assert sum(one != other for one, other in pairs) == 2
