"""What a picture does not show, said with `no` and `without`."""

from __future__ import annotations

from collections import Counter

import pytest

from tinyclip.data.caption_probes import denial, negation, shown_by, told_by_captions
from tinyclip.data.negation import DENIAL, NEGATION, Shown, denied

NAMES = ["dog", "apple tree", "cat"]


@pytest.fixture
def shown(make_listed) -> Shown:
    pairs = make_listed([(name,) for name in NAMES])
    return Shown(pairs, NAMES, [[name] for name in NAMES])


def words(text: str) -> Counter[str]:
    return Counter(text.split())


def test_negation_has_the_same_words_on_both_sides(shown) -> None:
    task = negation(shown)
    assert task is not None and len(task.texts) == 3 * 4
    assert all(words(true) == words(false) for true, false in task.texts)


def test_what_is_there_stands_first_as_often_as_last(shown) -> None:
    task = negation(shown)
    assert task is not None
    for row, name in enumerate(NAMES):
        own = [t for r, (t, _) in zip(task.rows, task.texts, strict=True) if r == row]
        denied_first = sum(text.startswith(("no ", "without ")) for text in own)
        assert (len(own), denied_first) == (4, 2)
        assert all(name in text for text in own)


def test_who_always_denies_or_never_does_is_right_about_half_of_denial(shown) -> None:
    task = denial(shown)
    assert task is not None
    denies = [" no " in true or " without " in true for true, _ in task.texts]
    assert sum(denies) * 2 == len(denies) == 12
    assert Counter(task.parts) == {"no": 3, "without": 3, "absent": 6}


def test_a_name_has_its_article(shown) -> None:
    task = denial(shown)
    assert task is not None
    said = {true for true, _ in task.texts}
    assert {"a picture of a dog", "a picture of an apple tree"} <= said


def others(said: list[list[str]], names: list[str], make_listed) -> list[str | None]:
    """What each row is said not to show."""
    found: dict[int, str | None] = {}
    shown = Shown(make_listed([("",)] * len(names)), names, said)
    for row, _, texts in denied(shown, {"no": (("{y}", "{x}"),)}):
        found[row] = None if texts is None else texts[0]
    return [found[row] for row in range(len(names))]


def test_nothing_that_is_said_of_a_picture_is_denied(make_listed) -> None:
    names = ["dog", "cats", "tree", "big dogs"]
    said = [["a dog", "A cat under a tree"], ["cats"], ["tree", "big"], ["big dogs"]]
    found = others(said, names, make_listed)
    assert found[0] is None  # cats is cat, big dogs has dogs
    assert found[1] in {"dog", "tree", "big dogs"} and found[2] in {"dog", "cats"}
    assert found[3] in {"cats", "tree"}


def test_the_order_of_what_is_said_changes_nothing(make_listed) -> None:
    names = [f"thing{i}" for i in range(40)]
    said = [[name, "a b c", "other words"] for name in names]
    turned = [own[::-1] for own in said]
    found = others(said, names, make_listed)
    assert found == others(turned, names, make_listed)
    assert len(set(found)) > 10


def test_names_that_deny_and_rows_without_a_name_are_left_out(make_listed) -> None:
    names = ["no smoking", "", "dog", "cat"]
    task = negation(Shown(make_listed([("",)] * 4), names, [[n] for n in names]))
    assert task is not None
    assert task.left_out == {"no": 2, "without": 2}
    assert not any("smoking" in text for texts in task.texts for text in texts)


def test_of_captions_the_last_thing_is_named(make_listed) -> None:
    pairs = make_listed([("A man rides a brown horse.", "dogs"), ("An old bus",)])
    found = shown_by(told_by_captions(pairs))
    assert list(found.names) == ["horse", "bus"]
    task = negation(found)
    assert task is not None and "horse and no bus" in {texts[0] for texts in task.texts}


def test_a_name_may_hold_what_templates_are_made_of(make_listed) -> None:
    names = ["{x} a", "{y}b", "c {0"]
    task = denial(Shown(make_listed([("",)] * 3), names, [[n] for n in names]))
    assert task is not None and "a picture of no {x} a" in {f for _, f in task.texts}


@pytest.mark.parametrize("parts", [NEGATION, DENIAL])
def test_no_item_has_two_equal_texts(shown, parts) -> None:
    for _, _, texts in denied(shown, parts):
        assert texts is not None and texts[0] != texts[1]
