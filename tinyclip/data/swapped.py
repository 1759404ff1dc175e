"""Which words of a caption are of a kind, and captions in which two of a kind stand in
each other's place.

No tagger says what a word is; where it stands does. Words of grammar (English ones),
what ends in -ing, and punctuation part a caption into runs of other words. The last
word of a run is a thing and those before it qualities, what ends in -ing is an
action, and two of a kind are swapped: `a red cube and a blue ball` becomes `a blue
cube and a red ball` or `a red ball and a blue cube`, `a dog chasing a cat` becomes `a
cat chasing a dog`. In other languages all words between two marks are one run, and
its qualities are swapped.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
READ = 32  # words; a text tower reads not many more
ACTION = 6  # letters at least of what ends in -ing and is an action, as riding is
GRAMMAR = frozenset(
    """
    a an the this that these those some any each every both all no not and or but nor
    of in on at by to from with without for into onto over under above below between
    among beside behind near next around across along through against toward towards
    inside outside up down off out as than then there here while when where who which
    whose is are was were be been being am has have had do does did can could will
    would shall should may might must it its he his him she her they their them we our
    us you your i my me very too so also just
    """.split()
)
Word: TypeAlias = "re.Match[str]"


@dataclass(frozen=True)
class Parsed:
    """The first `READ` words of a text.

    Args:
        words: all of them, in their order.
        runs: of each run its words: the last is a thing, those before it qualities.
        actions: what ends in -ing.
    """

    words: tuple[Word, ...]
    runs: tuple[tuple[Word, ...], ...]
    actions: tuple[Word, ...]

    @property
    def things(self) -> list[Word]:
        return [run[-1] for run in self.runs]

    @property
    def qualities(self) -> list[Word]:
        return [word for run in self.runs for word in run[:-1]]


def parsed(text: str) -> Parsed:
    """The words of a text, by where they stand."""
    words = tuple(WORD.finditer(text))[:READ]
    runs: list[list[Word]] = []
    actions: list[Word] = []
    end: int | None = None  # of the run's last word
    for word in words:
        lower = word.group().lower()
        is_action = lower.endswith("ing") and len(lower) >= ACTION
        if is_action or lower in GRAMMAR:
            actions += [word] * is_action
            end = None
            continue
        if end is not None and not text[end : word.start()].strip():
            runs[-1].append(word)
        else:
            runs.append([word])
        end = word.end()
    return Parsed(words, tuple(map(tuple, runs)), tuple(actions))


def swapped(text: str, draw: int, known: Collection[str] = ()) -> str | None:
    """The caption with two words of a kind swapped, or None where it has none.

    Args:
        draw: which of all that can be, counted round.
        known: captions that it must not become: they are right.
    """
    found = parsed(text)
    kinds = found.things, found.qualities, found.actions
    pairs = [pair for kind in kinds for pair in combinations(kind, 2) if unlike(*pair)]
    for place in range(len(pairs)):
        became = exchanged(text, *pairs[(draw + place) % len(pairs)])
        if became not in known:
            return became
    return None


def unlike(one: Word, other: Word) -> bool:
    """Whether two words are not the same, whatever their case."""
    return one.group().lower() != other.group().lower()


def exchanged(text: str, one: Word, other: Word) -> str:
    """The text with two of its words swapped, the first of them given first."""
    between = text[one.end() : other.start()]
    swap = other.group() + between + one.group()
    return text[: one.start()] + swap + text[other.end() :]
