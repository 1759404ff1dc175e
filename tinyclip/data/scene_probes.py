"""Probes on scenes: which thing has which colour, which stands where, and what is seen
and named of two things.

Which things meet, and in what colours, follows from their names alone. Every couple is
there both ways, so that a text is true of one scene and false of another: a model that
does not look, or that likes one of the things, is right half of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .cutouts import CutOuts
from .scenes import COLOURS, Scene, Scenes, Thing
from .seeds import number
from .task import ChoiceTask, Task, TwoObjectsTask
from .views import Subset

PARTNERS = 4  # following names that each name meets
OTHERS = 4  # names that both of a scene are compared with
LARGE = 4  # the area of a large thing by a small one's
COLOUR, OBJECT = "colour", "object"  # the controls
RELATIONS = {  # of the first thing to the second, and of the second to the first
    False: ("left_right", "left of", "right of"),
    True: ("above_below", "above", "below"),
}

Couple = tuple[str, str]
Item = tuple[str, str, str]  # a part, the true text and the false one


@dataclass(frozen=True)
class Asked:
    """A scene, and what is asked of it."""

    couple: int
    scene: Scene
    items: tuple[Item, ...]


def dealt(names: Sequence[str], *why: object) -> list[str]:
    """Names in an order that follows from them and from what it is for."""
    return sorted(names, key=lambda name: number("scenes", *why, name))


def couples_of(names: Sequence[str]) -> list[Couple]:
    """Pairs of names that meet, none twice: each name in equally many."""
    ring = dealt(names, "couples")
    steps = range(1, min(PARTNERS, (len(ring) - 1) // 2) + 1)
    return [
        (name, ring[(i + step) % len(ring)])
        for step in steps
        for i, name in enumerate(ring)
    ]


def others_of(names: Sequence[str], couple: Couple) -> list[str]:
    """The names that are not the couple's, in an order of its own."""
    return dealt([name for name in names if name not in couple], *couple)


def a(words: str) -> str:
    """The words with their article."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _both(first: str, second: str) -> str:
    return f"{a(first)} and {a(second)}"


def attribution(cuts: CutOuts) -> ChoiceTask | None:
    """`swap`: the colours of the two things exchanged. Controls: a `colour`, or an
    `object`, that is not there."""
    return _choice("scene_attribution", cuts, _coloured)


def _coloured(number: int, couple: Couple, other: str) -> Iterator[Asked]:
    """Four scenes: either colour, and either place; named in the couple's order."""
    one, two, absent = dealt([*COLOURS], *couple)[:3]
    for colours in ((one, two), (two, one)):
        for turned in (False, True):
            things = [Thing(*each) for each in zip(couple, colours, strict=True)]
            words = [f"{thing.colour} {thing.name}" for thing in things]
            swapped = [f"{things[1 - i].colour} {things[i].name}" for i in (0, 1)]
            at = int(turned == (colours == (one, two)))  # either is made false
            colour, thing = list(words), list(words)
            colour[at] = f"{absent} {couple[at]}"
            thing[at] = f"{things[at].colour} {other}"
            true = _both(*words)
            false = {"swap": swapped, COLOUR: colour, OBJECT: thing}
            items = [(part, true, _both(*texts)) for part, texts in false.items()]
            first, second = reversed(things) if turned else things
            yield Asked(number, Scene(first, second, true), tuple(items))


def relation(cuts: CutOuts) -> ChoiceTask | None:
    """`left_right`, `above_below`: the two things exchanged. Control: an `object` that
    is not there."""
    return _choice("scene_relation", cuts, _placed)


def _placed(number: int, couple: Couple, other: str) -> Iterator[Asked]:
    """Four scenes: beside or above each other, and either first. Both words of a
    relation are asked for, so that neither place is always named first."""
    for stacked, (part, forth, back) in RELATIONS.items():
        for first, second in (couple, couple[::-1]):
            true = f"{a(first)} {forth} {a(second)}"
            items = [
                (part, true, f"{a(second)} {forth} {a(first)}"),
                (
                    part,
                    f"{a(second)} {back} {a(first)}",
                    f"{a(first)} {back} {a(second)}",
                ),
            ]
            absent = (other, second) if first == couple[0] else (first, other)
            items.append((OBJECT, true, f"{a(absent[0])} {forth} {a(absent[1])}"))
            scene = Scene(Thing(first), Thing(second), true, stacked)
            yield Asked(number, scene, tuple(items))


def _choice(
    name: str,
    cuts: CutOuts,
    make: Callable[[int, Couple, str], Iterator[Asked]],
) -> ChoiceTask | None:
    """Scenes of one couple fall together."""
    asked = [
        each
        for i, couple in enumerate(couples_of(cuts.names))
        for each in make(i, couple, others_of(cuts.names, couple)[0])
    ]
    if not asked:
        return None
    items = [(row, item) for row, each in enumerate(asked) for item in each.items]
    return ChoiceTask(
        name,
        Scenes(cuts, [each.scene for each in asked]),
        tuple(row for row, _ in items),
        tuple((true, false) for _, (_, true, false) in items),
        tuple(part for _, (part, _, _) in items),
        tuple(each.couple for each in asked),
        controls=frozenset((COLOUR, OBJECT)),
    )


def two_objects(cuts: CutOuts, templates: Sequence[str]) -> TwoObjectsTask | None:
    """Of each couple four scenes, either one large and either one on the left, and two
    captions, either one named first."""
    names = cuts.names
    count = min(OTHERS, len(names) - 2)
    couples = couples_of(names)
    if count < 1 or not couples:
        return None
    scenes, shown = [], []
    for i, (one, two) in enumerate(couples):
        for sizes in ((LARGE, 1), (1, LARGE)):
            things = Thing(one, size=sizes[0]), Thing(two, size=sizes[1])
            for first, second in (things, things[::-1]):
                scenes.append(Scene(first, second, _both(first.name, second.name)))
                shown.append((i, sizes[0] == LARGE))
    numbers = {name: i for i, name in enumerate(names)}
    others = (others_of(names, couple)[:count] for couple in couples)
    return TwoObjectsTask(
        "scene_objects",
        Scenes(cuts, scenes),
        tuple(shown),
        tuple((numbers[one], numbers[two]) for one, two in couples),
        tuple(tuple(numbers[name] for name in each) for each in others),
        tuple((_both(one, two), _both(two, one)) for one, two in couples),
        Subset(cuts.source, [cuts.rows[name] for name in names]),
        names,
        tuple(templates),
    )


def scene_offers(
    cuts: Callable[[], CutOuts | None], templates: Callable[[], Sequence[str]]
) -> Iterator[tuple[str, Callable[[], Task | None]]]:
    """Name and maker of each probe; without cut-outs enough, one is None."""

    def made(probe: Callable[[CutOuts], Task | None]) -> Task | None:
        found = cuts()
        return None if found is None else probe(found)

    yield "scene_attribution", lambda: made(attribution)
    yield "scene_relation", lambda: made(relation)
    yield "scene_objects", lambda: made(lambda found: two_objects(found, templates()))
