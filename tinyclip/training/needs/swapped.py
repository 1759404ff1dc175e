"""Captions in which two words of a kind stand in each other's place.

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
from collections.abc import Collection, Iterator
from itertools import combinations

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


def swapped(text: str, draw: int, known: Collection[str] = ()) -> str | None:
    """The caption with two words of a kind swapped, or None where it has none.

    Args:
        draw: which of all that can be, counted round.
        known: captions that it must not become: they are right.
    """
    words = list(WORD.finditer(text))[:READ]
    pairs = [pair for kind in _kinds(text, words) for pair in _unlike(kind)]
    for place in range(len(pairs)):
        one, other = pairs[(draw + place) % len(pairs)]
        between = text[one.end() : other.start()]
        swap = other.group() + between + one.group()
        became = text[: one.start()] + swap + text[other.end() :]
        if became not in known:
            return became
    return None


def _unlike(kind: list[re.Match[str]]) -> Iterator[tuple[re.Match[str], ...]]:
    for pair in combinations(kind, 2):
        if pair[0].group().lower() != pair[1].group().lower():
            yield pair


def _kinds(text: str, words: list[re.Match[str]]) -> list[list[re.Match[str]]]:
    """Things, qualities and actions, in their order."""
    things: list[re.Match[str]] = []
    qualities: list[re.Match[str]] = []
    actions: list[re.Match[str]] = []
    end: int | None = None  # of the run's last word
    for word in words:
        lower = word.group().lower()
        is_action = lower.endswith("ing") and len(lower) >= ACTION
        if is_action or lower in GRAMMAR:
            actions += [word] * is_action
            end = None
            continue
        if end is not None and not text[end : word.start()].strip():
            qualities.append(things.pop())  # the run goes on
        things.append(word)
        end = word.end()
    return [things, qualities, actions]
