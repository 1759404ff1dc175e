"""Captions in which two phrases change roles: whose quality it is, and who does it.

Words are told apart by where they stand (`swapped`). Which of several swaps it is
follows from the caption alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import combinations, pairwise, product

from .seeds import number
from .swapped import ACTION, WORD, Word, parsed, unlike

# what stands between two things of which one is somewhere as seen from the other; `of`
# is no place, and of the rest of prepositions most are true both ways
PLACES = frozenset(
    """
    in on at under above below over behind into onto from to inside outside toward
    towards through across
    """.split()
)
BOTH_WAYS = frozenset(
    """
    and or nor but not no without with beside near next between among along by against
    of for as than
    """.split()
)
Span = tuple[int, int]  # where a phrase begins and ends


def attributions(text: str) -> Iterator[tuple[Span, Span]]:
    """Qualities of two unlike things: `a red cube and a blue ball`."""
    for one, other in combinations(parsed(text).runs, 2):
        if unlike(one[-1], other[-1]):
            for mine, yours in product(one[:-1], other[:-1]):
                if unlike(mine, yours):
                    yield mine.span(), yours.span()


def relations(text: str) -> Iterator[tuple[Span, Span]]:
    """Two phrases with a place or an action between them, and nothing that would be
    true both ways: `a red cube on a blue ball`."""
    for one, other in pairwise(parsed(text).runs):
        spans = _span(one), _span(other)
        mine, yours = (text[start:end].lower() for start, end in spans)
        if mine != yours and _relates(text[one[-1].end() : other[0].start()].lower()):
            yield spans


def _span(run: tuple[Word, ...]) -> Span:
    return run[0].start(), run[-1].end()


def _relates(between: str) -> bool:
    words = WORD.findall(between)
    if BOTH_WAYS.intersection(words):
        return False
    acts = any(word.endswith("ing") and len(word) >= ACTION for word in words)
    return acts or not PLACES.isdisjoint(words)


SWAPS: dict[str, Callable[[str], Iterator[tuple[Span, Span]]]] = {
    "attribution": attributions,
    "relation": relations,
}


def swap(text: str, kind: str, known: Collection[str] = ()) -> str | None:
    """The text with two phrases swapped, or None where it has none.

    Args:
        kind: a name of `SWAPS`.
        known: texts that it must not become: they are right.
    """
    spans = [*SWAPS[kind](text)]
    first = number("swap", kind, text)
    for place in range(len(spans)):
        (start, end), (then, last) = spans[(first + place) % len(spans)]
        between = text[end:then]
        swap = text[then:last] + between + text[start:end]
        became = text[:start] + swap + text[last:]
        if became != text and became not in known:
            return became
    return None
