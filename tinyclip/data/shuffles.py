"""Captions whose words stand in another order: ARO's five (Yuksekgonul et al. 2023,
§2.2 and their code).

A word goes to the place of another one; what is between words stays where it is. What
words are nouns and adjectives follows from where they stand (`swapped`): things and
qualities. Which of all orders it is follows from the caption alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from .seeds import number, order
from .swapped import Parsed, Word, parsed

TRIES = 20  # orders that are drawn before a caption is taken to have no other one
GRAM = 3  # words that stay together, or that alone change places


@dataclass
class Dealer:
    """Draws permutations, one after another, that follow from a text."""

    seed: int
    drawn: int = 0

    def dealt(self, places: Sequence[int]) -> list[int]:
        """The places in another order, which may be the same."""
        self.drawn += 1
        return [places[i] for i in order(self.seed, self.drawn, len(places))]


# the words that come to stand at each place, of places 0, 1, ...
Arranged = Callable[[Parsed, Dealer], list[int]]


def _places(found: Parsed, words: Sequence[Word]) -> list[int]:
    starts = {word.start(): place for place, word in enumerate(found.words)}
    return [starts[word.start()] for word in words]


def _grams(found: Parsed) -> list[list[int]]:
    places = [*range(len(found.words))]
    return [places[i : i + GRAM] for i in range(0, len(places), GRAM)]


def _among(found: Parsed, kinds: Sequence[list[int]], dealer: Dealer) -> list[int]:
    """Words of each kind change places with others of theirs."""
    arranged = np.arange(len(found.words))
    for places in kinds:
        arranged[places] = dealer.dealt(places)
    return [int(place) for place in arranged]


def _nouns_adjectives(found: Parsed, dealer: Dealer) -> list[int]:
    kinds = [_places(found, words) for words in (found.things, found.qualities)]
    return _among(found, kinds, dealer)


def _other_words(found: Parsed, dealer: Dealer) -> list[int]:
    taken = {*_places(found, found.things), *_places(found, found.qualities)}
    others = [place for place in range(len(found.words)) if place not in taken]
    return _among(found, [others], dealer)


def _trigrams(found: Parsed, dealer: Dealer) -> list[int]:
    grams = _grams(found)
    return [place for i in dealer.dealt(range(len(grams))) for place in grams[i]]


def _within_trigrams(found: Parsed, dealer: Dealer) -> list[int]:
    """Of a single one it would be all words again, so that it stays as it is."""
    grams = _grams(found)
    return _among(found, grams if len(grams) > 1 else [], dealer)


def _all_words(found: Parsed, dealer: Dealer) -> list[int]:
    return dealer.dealt(range(len(found.words)))


SHUFFLES: dict[str, Arranged] = {
    "nouns_adjectives": _nouns_adjectives,
    "other_words": _other_words,
    "trigrams": _trigrams,
    "within_trigrams": _within_trigrams,
    "all_words": _all_words,
}


def shuffled(text: str, shuffle: str, known: Collection[str] = ()) -> str | None:
    """The text in another order, or None where it has none.

    Args:
        shuffle: a name of `SHUFFLES`.
        known: texts that it must not become: they are right.
    """
    found = parsed(text)
    dealer = Dealer(number("shuffle", shuffle, text))
    for _ in range(TRIES):
        became = _arranged(text, found.words, SHUFFLES[shuffle](found, dealer))
        if became != text and became not in known:
            return became
    return None


def _arranged(text: str, words: Sequence[Word], places: Sequence[int]) -> str:
    """The text with the word of each of these places at 0, 1, ..."""
    parts, end = [], 0
    for word, place in zip(words, places, strict=True):
        parts += [text[end : word.start()], words[place].group()]
        end = word.end()
    return "".join([*parts, text[end:]])
