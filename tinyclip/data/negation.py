"""What a picture does not show, said with `no` and `without`.

Each item has its counterpart, so that a model that likes or dislikes a negation
whatever it sees is right about half: `no` and `without` ask whether what is there is
denied, `absent` whether what is not there is, and `which` has the same words on both
sides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from .protocol import Pairs
from .seeds import number
from .swapped import GRAMMAR, WORD
from .task import Clusters

NEGATING = frozenset("no not non nor never none without".split())

Texts = tuple[str, str]  # the true one, and the false one


# x is shown and y is not; an_x and an_y are the same with an article
ITEMS: dict[str, tuple[Texts, ...]] = {
    "no": (("a picture of {an_x}", "a picture of no {x}"),),
    "without": (("a picture with {x}", "a picture without {x}"),),
    "absent": (
        ("a picture of no {y}", "a picture of {an_y}"),
        ("a picture without {y}", "a picture with {y}"),
    ),
    "which": (
        ("a picture of {x} and no {y}", "a picture of {y} and no {x}"),
        ("a picture of no {y} but {x}", "a picture of no {x} but {y}"),
    ),
}


@dataclass(frozen=True, eq=False)
class Shown:
    """Pictures, and what each is known to show.

    Args:
        names: of each row one thing that it shows; "" where none is known.
        said: of each row all that is said of it.
        clusters: as of a task.
    """

    pairs: Pairs
    names: Sequence[str]
    said: Sequence[Collection[str]]
    clusters: Clusters = None


def negations(shown: Shown) -> Iterator[tuple[int, str, Texts | None]]:
    """Row, part, and texts; None of a row without a name, or with all of them."""
    pool = sorted({name for name in shown.names if _usable(name)})
    for row, name in enumerate(shown.names):
        other = _absent(name, pool, shown.said[row]) if _usable(name) else None
        if other is None:
            yield from ((row, part, None) for part in ITEMS)
            continue
        for part, items in ITEMS.items():
            for true, false in items:
                yield row, part, (_said(true, name, other), _said(false, name, other))


def _said(text: str, x: str, y: str) -> str:
    return text.format(x=x, y=y, an_x=_article(x), an_y=_article(y))


def _article(name: str) -> str:
    return f"{'an' if re.match('[aeiou]', name) else 'a'} {name}"


def _usable(name: str) -> bool:
    return bool(name) and NEGATING.isdisjoint(_words(name))


def _words(text: str) -> set[str]:
    """The words of a text in small letters, without the s of several."""
    return {re.sub("(?<=..)s$", "", word) for word in WORD.findall(text.lower())}


def _meant(text: str) -> set[str]:
    """Those that are not of grammar."""
    return _words(text) - GRAMMAR


def _absent(name: str, pool: Sequence[str], said: Collection[str]) -> str | None:
    """A name of other pictures of which no word is said of this one."""
    taken = set().union(_meant(name), *map(_meant, said))
    first = number("absent", name, *said)
    for place in range(len(pool)):
        other = pool[(first + place) % len(pool)]
        words = _meant(other)
        if words and words.isdisjoint(taken):
            return other
    return None
