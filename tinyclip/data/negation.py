"""What a picture does not show, said with `no` and `without`.

`denial` asks whether what is there is denied (`no`, `without`) and whether what is not
there is (`absent`): as many of one as of the other, so that a model that likes or
dislikes a denial whatever it sees is right about half. A word that only weakens what
is said wins it, though. `negation` has the same words on both sides, once with what is
there first and once last: only what the word denies tells them apart.
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
Parts = dict[str, tuple[Texts, ...]]
NEGATION: Parts = {
    "no": (
        ("{x} and no {y}", "{y} and no {x}"),
        ("no {y} but {x}", "no {x} but {y}"),
    ),
    "without": (
        ("{x} without {y}", "{y} without {x}"),
        ("without {y} but with {x}", "without {x} but with {y}"),
    ),
}
DENIAL: Parts = {
    "no": (("a picture of {an_x}", "a picture of no {x}"),),
    "without": (("a picture with {x}", "a picture without {x}"),),
    "absent": (
        ("a picture of no {y}", "a picture of {an_y}"),
        ("a picture without {y}", "a picture with {y}"),
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


def denied(shown: Shown, parts: Parts) -> Iterator[tuple[int, str, Texts | None]]:
    """Row, part, and texts; None of a row without a name, or of which all is said."""
    pool = sorted({name for name in shown.names if _usable(name)})
    others = [
        _absent(name, pool, said) if _usable(name) else None
        for name, said in zip(shown.names, shown.said, strict=True)
    ]
    for part, items in parts.items():
        for row, (name, other) in enumerate(zip(shown.names, others, strict=True)):
            if other is None:
                yield row, part, None
                continue
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
    first = number("absent", name, *sorted(said))
    for place in range(len(pool)):
        other = pool[(first + place) % len(pool)]
        words = _meant(other)
        if words and words.isdisjoint(taken):
            return other
    return None
