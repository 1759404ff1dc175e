"""Captions in which two phrases change roles."""

from __future__ import annotations

import pytest

from tinyclip.data.roles import SWAPS, swap


@pytest.mark.parametrize(
    ("kind", "text", "becomes"),
    [
        (
            "attribution",
            "a red cube and a blue ball",
            "a blue cube and a red ball",
        ),
        ("attribution", "an open mailbox with lowered flag",
         "an lowered mailbox with open flag"),
        ("relation", "a red cube on a blue ball.", "a blue ball on a red cube."),
        ("relation", "a dog chasing a cat", "a cat chasing a dog"),
        ("relation", "sun behind cloud", "cloud behind sun"),
    ],
)  # fmt: skip
def test_qualities_and_places_change(kind: str, text: str, becomes: str) -> None:
    assert swap(text, kind) == becomes
    assert swap(text, kind, known={becomes}) is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("attribution", "a big red ball"),  # both are the ball's
        ("attribution", "a red ball and a blue ball"),  # true the other way round
        ("attribution", "a red ball and a red cube"),
        ("attribution", "a ball and a blue cube"),
        ("relation", "a dog and a cat"),
        ("relation", "a dog standing next to a cat"),
        ("relation", "a dog with a cat on it"),
        ("relation", "a cup of tea"),
        ("relation", "a ball on a ball"),
        ("relation", "a ball"),
        ("relation", ""),
    ],
)
def test_what_would_stay_true_or_has_nothing_to_swap_has_none(kind, text) -> None:
    assert swap(text, kind) is None


@pytest.mark.parametrize("kind", SWAPS)
def test_a_swap_follows_from_the_text(kind: str) -> None:
    said = "a red cube on a blue ball in a green box"
    texts = ["." * i + said for i in range(20)]
    found = [swap(text, kind) for text in texts]
    assert found == [swap(text, kind) for text in texts]
    shapes = {str(text).strip(".") for text in found}
    assert len(shapes) == {"attribution": 3, "relation": 2}[kind]
