"""Captions of pairs beside their swapped forms, and which pairs serve for what."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ..config.schema import Data
from ..errors import UserError
from .pairs import limited, open_split
from .protocol import Pairs
from .seeds import number
from .swapped import swapped
from .task import ChoiceTask
from .tokens import TokenMaker
from .views import Subset

CAPTIONS = 4  # of a picture; which of them follows from the seed
LEAST = 16  # swapped captions of each part
MOST = 10_000  # pairs to learn from, where `data.limit` says nothing
TASK = "swapped"


@dataclass(frozen=True, eq=False)
class Swaps:
    """Some captions of pairs, and what each becomes with two words of a kind swapped.

    Args:
        rows: of each caption the row of its picture in `pairs`.
        texts: the captions.
        swaps: their swapped forms; None of a caption that has no two words of a kind.
    """

    pairs: Pairs
    rows: tuple[int, ...]
    texts: tuple[str, ...]
    swaps: tuple[str | None, ...]

    @property
    def swappable(self) -> int:
        return sum(swap is not None for swap in self.swaps)

    def of_rows(self, rows: Collection[int]) -> Swaps:
        """The captions of some rows of `pairs`."""
        kept = [i for i, row in enumerate(self.rows) if row in rows]
        return replace(
            self,
            rows=tuple(self.rows[i] for i in kept),
            texts=tuple(self.texts[i] for i in kept),
            swaps=tuple(self.swaps[i] for i in kept),
        )

    def read_by(self, tokenizer: TokenMaker) -> Swaps:
        """Without those swapped forms of which a text tower reads what it reads of the
        caption itself: words after its last place change nothing."""
        swaps = [
            swap or text for text, swap in zip(self.texts, self.swaps, strict=True)
        ]
        if not swaps:
            return self
        differ = (tokenizer(list(self.texts)) != tokenizer(swaps)).any(1).tolist()
        kept = (
            swap if there else None
            for swap, there in zip(self.swaps, differ, strict=True)
        )
        return replace(self, swaps=tuple(kept))

    def task(self) -> ChoiceTask:
        """To tell each caption from its swapped form. Pictures whose first captions are
        the same, which show one thing, count together."""
        items = [i for i, swap in enumerate(self.swaps) if swap is not None]
        first = [self.pairs.captions(row)[0] for row in range(len(self.pairs))]
        numbers: dict[str, int] = {}
        return ChoiceTask(
            TASK,
            self.pairs,
            tuple(self.rows[i] for i in items),
            tuple((self.texts[i], str(self.swaps[i])) for i in items),
            ("",) * len(items),
            tuple(numbers.setdefault(text, len(numbers)) for text in first),
        )


@dataclass(frozen=True, eq=False)
class Parts:
    """The pairs that a repair is learnt from, its strength is chosen on, and that it is
    told on: no picture is in two of them."""

    learn: Swaps
    choose: Swaps
    tell: Swaps

    def read_by(self, tokenizer: TokenMaker) -> Parts:
        """As `Swaps.read_by`, of each."""
        parts = self.learn, self.choose, self.tell
        return Parts(*(part.read_by(tokenizer) for part in parts))

    def refuse_few(self, source: str) -> None:
        """Tell before anything is learnt that there is too little to swap.

        Raises:
            UserError: a part has fewer captions than `LEAST` that can be swapped.
        """
        for words, part in (
            ("to learn from", self.learn),
            ("to choose its strength on", self.choose),
            ("to tell its gain on", self.tell),
        ):
            if part.swappable < LEAST:
                raise UserError(
                    source,
                    f"of {len(part.texts)} captions of the pairs {words} "
                    f"{part.swappable} have two words of a kind that can be swapped, "
                    f"as 'a red cube and a blue ball' has, and {LEAST} are needed",
                    "Give more pairs, or captions that name several things",
                )


def swaps_of(pairs: Pairs, seed: int) -> Swaps:
    """At most `CAPTIONS` captions of each pair, and a swapped form of each."""
    rows: list[int] = []
    texts: list[str] = []
    swaps: list[str | None] = []
    for row in range(len(pairs)):
        for text, swap in drawn(pairs.captions(row), pairs.key(row), seed):
            rows.append(row)
            texts.append(text)
            swaps.append(swap)
    return Swaps(pairs, tuple(rows), tuple(texts), tuple(swaps))


def drawn(captions: Sequence[str], key: str, seed: int) -> list[tuple[str, str | None]]:
    """Some captions of a picture with their swapped forms, as the seed has it; first
    those that have one."""
    both = [
        (text, swapped(text, number(seed, "swap", key, text), captions))
        for text in dict.fromkeys(captions)
    ]
    both.sort(key=lambda each: (each[1] is None, number(seed, "caption", key, each[0])))
    return both[:CAPTIONS]


def parts_of(data: Data, seed: int) -> Parts:
    """The parts of a source: the pairs to train on (`MOST` of them, or `data.limit`),
    and two halves of its validation pairs, by hash.

    Raises:
        UserError: the source cannot be used, or has too few captions to swap.
    """
    train, held_out = open_split(data)
    if data.limit is None:
        train = limited(train, MOST)
    rows = sorted(range(len(held_out)), key=lambda i: number("repair", held_out.key(i)))
    halves = [sorted(rows[start::2]) for start in range(2)]
    choose, tell = (Subset(held_out, half) for half in halves)
    parts = Parts(*(swaps_of(pairs, seed) for pairs in (train, choose, tell)))
    parts.refuse_few(data.source)
    return parts
