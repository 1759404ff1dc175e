"""Probes on captions: a picture's caption among false ones that were made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .protocol import Pairs
from .shuffles import SHUFFLES, shuffled
from .swapped import WORD
from .task import ChoiceTask, Clusters
from .views import Subset

# a row, a part, and the true text and the false ones; None where there are none
Made = tuple[int, str, tuple[str, ...] | None]


@dataclass(frozen=True, eq=False)
class Told:
    """Pictures, and a caption of each that is true.

    Args:
        texts: the caption of each row; in small letters, so that no false one is told
            by a capital in its middle.
        clusters: as of a task.
    """

    pairs: Pairs
    texts: Sequence[str]
    clusters: Clusters = None

    def known(self, row: int) -> set[str]:
        """All that is known to be true of a picture."""
        return {self.texts[row], *map(str.lower, self.pairs.captions(row))}


def told_by_captions(pairs: Pairs) -> Told:
    """Each picture under its caption of most words, of equal ones the first."""
    texts = [_longest(pairs.captions(row)).lower() for row in range(len(pairs))]
    return Told(pairs, texts)


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
    return made_of("order", told.pairs, told.clusters, _shuffles(told))


def _shuffles(told: Told) -> Iterator[Made]:
    for shuffle in SHUFFLES:
        for row, text in enumerate(told.texts):
            false = shuffled(text, shuffle, told.known(row))
            yield row, shuffle, None if false is None else (text, false)


def caption_offers(
    told: Callable[[], Told | None],
) -> Iterator[tuple[str, Callable[[], ChoiceTask | None]]]:
    """Name and maker of each probe; without rows, or items, one is None."""

    def made(probe: Callable[[Told], ChoiceTask | None]) -> ChoiceTask | None:
        found = told()
        return None if found is None else probe(found)

    for probe in (order,):
        yield probe.__name__, lambda probe=probe: made(probe)  # type: ignore[misc]
