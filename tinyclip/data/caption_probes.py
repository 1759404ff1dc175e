"""Probes on captions: a picture's caption among false ones that were made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .negation import DENIAL, NEGATION, Shown, denied
from .protocol import Pairs
from .roles import SWAPS, swap
from .shuffles import SHUFFLES, shuffled
from .swapped import WORD, parsed
from .task import ChoiceTask, Clusters
from .views import Subset

# a row, a part, and the true text and the false ones; None where there are none
Made = tuple[int, str, tuple[str, ...] | None]
# a text, a part and what the text must not become: what it becomes, or None
Change = Callable[[str, str, set[str]], str | None]


@dataclass(frozen=True, eq=False)
class Told:
    """Pictures, and a caption of each that is true.

    Args:
        texts: the caption of each row; in small letters, so that no false one is told
            by a capital in its middle.
        names: one thing that each row shows; "" where none is known.
        clusters: as of a task.
    """

    pairs: Pairs
    texts: Sequence[str]
    names: Sequence[str]
    clusters: Clusters = None

    def known(self, row: int) -> set[str]:
        """All that is known to be true of a picture."""
        return {self.texts[row], *map(str.lower, self.pairs.captions(row))}


def told_by_captions(pairs: Pairs) -> Told:
    """Each picture under its caption of most words, of equal ones the first; what it
    shows is the last thing of that: verbs that stand like things come before."""
    texts = [_longest(pairs.captions(row)).lower() for row in range(len(pairs))]
    things = (parsed(text).things for text in texts)
    return Told(pairs, texts, [own[-1].group() if own else "" for own in things])


def _longest(captions: Sequence[str]) -> str:
    return max(captions, key=lambda caption: len(WORD.findall(caption)))


def made_of(
    name: str, pairs: Pairs, clusters: Clusters, items: Iterable[Made]
) -> ChoiceTask | None:
    """The task of some items, over the pictures that these have; None without any."""
    left_out = Counter[str]()
    whole: list[tuple[int, str, tuple[str, ...]]] = []
    for row, part, texts in items:
        if texts is None:
            left_out[part] += 1
        else:
            whole.append((row, part, texts))
    if not whole:
        return None
    rows = sorted({row for row, _, _ in whole})
    places = {row: place for place, row in enumerate(rows)}
    return ChoiceTask(
        name,
        Subset(pairs, rows),
        tuple(places[row] for row, _, _ in whole),
        tuple(texts for _, _, texts in whole),
        tuple(part for _, part, _ in whole),
        clusters and tuple(clusters[row] for row in rows),
        left_out,
    )


def order(told: Told) -> ChoiceTask | None:
    """Each caption against its words in another order, a part a shuffle."""
    items = _changed(told, SHUFFLES, shuffled)
    return made_of("order", told.pairs, told.clusters, items)


def swaps(told: Told) -> ChoiceTask | None:
    """Each caption against itself with two phrases swapped, a part a kind of them."""
    items = _changed(told, SWAPS, swap)
    return made_of("swaps", told.pairs, told.clusters, items)


def _changed(told: Told, parts: Iterable[str], change: Change) -> Iterator[Made]:
    """Each caption against what every part makes of it."""
    for part in parts:
        for row, text in enumerate(told.texts):
            false = change(text, part, told.known(row))
            yield row, part, None if false is None else (text, false)


def negation(shown: Shown) -> ChoiceTask | None:
    """What a picture shows and not what it does not, against the other way round."""
    items = denied(shown, NEGATION)
    return made_of("negation", shown.pairs, shown.clusters, items)


def denial(shown: Shown) -> ChoiceTask | None:
    """What a picture shows against its denial, and the denial of what it does not."""
    return made_of("denial", shown.pairs, shown.clusters, denied(shown, DENIAL))


def shown_by(told: Told) -> Shown:
    """What captions name."""
    said = [told.known(row) for row in range(len(told.texts))]
    return Shown(told.pairs, told.names, said, told.clusters)


Make = Callable[[], ChoiceTask | None]


def caption_offers(told: Callable[[], Told | None]) -> Iterator[tuple[str, Make]]:
    """Name and maker of each probe; without rows, or items, one is None."""

    def made(probe: Callable[[Told], ChoiceTask | None]) -> ChoiceTask | None:
        found = told()
        return None if found is None else probe(found)

    yield "order", lambda: made(order)
    yield "swaps", lambda: made(swaps)
    yield "negation", lambda: made(lambda found: negation(shown_by(found)))
    yield "denial", lambda: made(lambda found: denial(shown_by(found)))


def name_offers(shown: Callable[[], Shown]) -> Iterator[tuple[str, Make]]:
    """Those of the probes that need no captions, but what is on a picture."""
    yield "negation", lambda: negation(shown())
    yield "denial", lambda: denial(shown())
