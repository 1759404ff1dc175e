"""Captions whose words stand in another order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyclip.data.shuffles import SHUFFLES, shuffled

TEXT = "a small brown dog with a big red ball, running over the green grass"


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text)


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_the_same_words_stand_in_another_order(shuffle: str) -> None:
    found = shuffled(TEXT, shuffle)
    assert found is not None and found != TEXT
    assert sorted(words(found)) == sorted(words(TEXT))
    assert re.sub(r"\w+", "", found) == re.sub(r"\w+", "", TEXT)
    assert found == shuffled(TEXT, shuffle)


def changed(shuffle: str) -> set[str]:
    """The words that do not stand where they stood, over several captions."""
    moved: set[str] = set()
    for ending in ("", " here", " there", " now", " too"):
        found = shuffled(TEXT + ending, shuffle)
        both = zip(words(TEXT + ending), words(found or ""), strict=True)
        moved |= {one for one, other in both if one != other}
    return moved


def test_nouns_change_with_nouns_and_adjectives_with_adjectives() -> None:
    nouns, adjectives = {"dog", "ball", "grass"}, {"small", "brown", "big", "red"}
    adjectives |= {"green"}
    assert changed("nouns_adjectives") <= nouns | adjectives
    found = shuffled(TEXT, "nouns_adjectives")
    for one, other in zip(words(TEXT), words(found or ""), strict=True):
        assert (one in nouns) == (other in nouns)


def test_all_but_nouns_and_adjectives_change() -> None:
    others = {"a", "with", "running", "over", "the", "here", "there", "too"}
    assert changed("other_words") <= others and len(changed("other_words")) > 2


def test_trigrams_stay_whole() -> None:
    text = "one two three four five six seven eight"
    found = shuffled(text, "trigrams")
    assert found is not None
    parts = {"one two three", "four five six", "seven eight"}
    assert all(part in found for part in parts) and found != text


def test_words_stay_in_their_trigram() -> None:
    text = "one two three four five six seven eight"
    found = words(shuffled(text, "within_trigrams") or "")
    for start in (0, 3, 6):
        assert sorted(found[start : start + 3]) == sorted(
            words(text)[start : start + 3]
        )


@pytest.mark.parametrize(
    ("shuffle", "text"),
    [
        ("nouns_adjectives", "a dog"),
        ("nouns_adjectives", "a dog and a dog"),
        ("other_words", "small brown dog"),
        ("trigrams", "small brown dog"),
        ("within_trigrams", "small brown dog"),  # it is all words
        ("all_words", "dog"),
        ("all_words", "dog dog"),
        ("all_words", ""),
    ],
)
def test_what_has_no_other_order_has_none(shuffle: str, text: str) -> None:
    assert shuffled(text, shuffle) is None


def test_it_becomes_no_text_that_is_right() -> None:
    assert shuffled("cat and dog", "nouns_adjectives") == "dog and cat"
    assert shuffled("cat and dog", "nouns_adjectives", {"dog and cat"}) is None


@given(text=st.text(max_size=120), shuffle=st.sampled_from([*SHUFFLES]))
def test_whatever_the_text_nothing_is_lost(text: str, shuffle: str) -> None:
    found = shuffled(text, shuffle)
    assert found is None or (found != text and sorted(found) == sorted(text))
