"""Scenes: what stands where and how large it is, counted on the composed pixels."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from tinyclip.data.broken import Dropped
from tinyclip.data.cutouts import CutOuts
from tinyclip.data.scene_probes import (
    attribution,
    couples_of,
    relation,
    scene_offers,
    two_objects,
)
from tinyclip.data.scenes import COLOURS, SIDE, Scene, Scenes, Thing

TONES = {"cup": (200, 0, 0), "ant": (0, 0, 200), "car": (0, 130, 0), "owl": (90, 0, 90)}
SIZES = {"cup": (30, 40), "ant": (50, 10), "car": (44, 30), "owl": (20, 60)}


class Source:
    name, dropped = "drawn", {}

    def fingerprint(self) -> str:
        return "drawn"


def cuts_of(names=tuple(TONES)) -> CutOuts:
    """Blocks, each of a colour of its own."""
    images = {
        name: Image.new("RGBA", SIZES[name], (*TONES[name], 255)) for name in names
    }
    rows = {name: i for i, name in enumerate(names)}
    return CutOuts(Source(), rows, images, Dropped())  # type: ignore[arg-type]


def where(picture: Image.Image, colour) -> np.ndarray:
    """The places (row, column) of a colour's pixels."""
    pixels = np.asarray(picture, dtype=int)
    return np.argwhere(np.abs(pixels - colour).max(axis=-1) <= 6)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1), (4, 1), (1, 4)])
@pytest.mark.parametrize("names", [("cup", "ant"), ("owl", "car")])
def test_things_stand_where_they_are_said_to_in_areas_as_their_sizes(
    stacked: bool, sizes, names
) -> None:
    first, second = (Thing(n, size=s) for n, s in zip(names, sizes, strict=True))
    scenes = Scenes(cuts_of(), [Scene(first, second, "", stacked)])
    picture = scenes.image(0)
    assert picture.size == (SIDE, SIDE)
    one, two = (where(picture, TONES[name]) for name in names)
    along = 0 if stacked else 1
    assert one[:, along].max() < two[:, along].min()
    middles = [each[:, 1 - along].mean() for each in (one, two)]
    assert middles == pytest.approx([SIDE / 2] * 2, abs=1.0)
    share = len(one) / len(two) / (sizes[0] / sizes[1])
    assert share == pytest.approx(1, abs=0.12)  # edges are whole pixels
    drawn = np.argwhere((np.asarray(picture) < 250).any(axis=-1))
    assert drawn.min() >= 3 and drawn.max() <= SIDE - 4  # nothing is cut off
    lengths = np.ptp(drawn, axis=0) + 1
    assert lengths.max() >= SIDE - 11  # as large as fits


def test_a_scene_is_the_same_bytes_whatever_was_asked_before() -> None:
    scenes = attribution(cuts_of()).pairs
    there = [scenes.image(i).tobytes() for i in range(len(scenes))]
    again = attribution(cuts_of()).pairs
    back = [again.image(i).tobytes() for i in reversed(range(len(again)))]
    assert there == back[::-1]
    assert len(set(there)) == len(there)
    assert scenes.fingerprint() == again.fingerprint()
    assert scenes.fingerprint() != relation(cuts_of()).pairs.fingerprint()


@pytest.mark.parametrize("make", [attribution, relation])
def test_every_false_text_of_a_pair_is_true_of_another_scene(make) -> None:
    """A model that does not look is right half of the time."""
    task = make(cuts_of())
    items = zip(task.parts, task.texts, strict=True)
    asked = [(part, texts) for part, texts in items if part not in task.controls]
    assert Counter(asked) == Counter((part, texts[::-1]) for part, texts in asked)
    assert len({len(task.pairs.captions(i)) for i in range(len(task.pairs))}) == 1


@pytest.mark.parametrize("make", [attribution, relation])
def test_a_control_changes_one_thing_to_what_is_not_there(make) -> None:
    task = make(cuts_of())
    places = Counter()
    for row, part, (true, false) in zip(task.rows, task.parts, task.texts, strict=True):
        if part not in task.controls:
            continue
        gone, came = (
            set(true.split()) - set(false.split()),
            (set(false.split()) - set(true.split())),
        )
        (absent,) = came - {"a", "an"}
        assert len(gone - {"a", "an"}) == 1
        scene = task.pairs.scenes[row]
        things = scene.first, scene.second
        assert absent not in {word for t in things for word in (t.name, t.colour)}
        at = true.split().index(*(gone - {"a", "an"})) * 2 > len(true.split())
        places[part, at] += 1
    for part in task.controls & set(task.parts):
        assert places[part, True] == places[part, False]  # either one is changed


def test_what_is_said_of_colours_is_what_is_seen() -> None:
    task = attribution(cuts_of())
    for row, (true, _) in zip(task.rows, task.texts, strict=True):
        scene = task.pairs.scenes[row]
        words = {
            f"{thing.colour} {thing.name}" for thing in (scene.first, scene.second)
        }
        told = [" ".join(part.split()[1:]) for part in true.split(" and ")]
        assert {*told} == words
        picture = task.pairs.image(row)
        for side, thing in enumerate((scene.first, scene.second)):
            columns = where(picture, COLOURS[thing.colour])[:, 1]
            assert len(columns) and ((columns > SIDE / 2).mean() > 0.5) == bool(side)


def test_a_relation_is_true_of_the_pixels_in_both_words() -> None:
    task = relation(cuts_of())
    words = {" left of ": (1, -1), " right of ": (1, 1), " above ": (0, -1)}
    words[" below "] = (0, 1)
    said = Counter()
    for row, part, (true, false) in zip(task.rows, task.parts, task.texts, strict=True):
        (word,) = (word for word in words if word in true)
        axis, sign = words[word]
        picture = task.pairs.image(row)
        at = [
            where(picture, TONES[t.split()[1]])[:, axis].mean()
            for t in true.split(word)
        ]
        assert np.sign(at[0] - at[1]) == sign
        if part in task.controls:
            continue
        assert false == word.join(reversed(true.split(word)))
        said[word] += 1
    assert len(set(said.values())) == 1 and len(said) == 4


def test_of_two_things_either_is_large_and_either_first_in_every_couple() -> None:
    task = two_objects(cuts_of(), ("{}",))
    seen = defaultdict(set)
    for row, (couple, first_is_larger) in enumerate(task.scenes):
        one, two = (task.classes[c] for c in task.couples[couple])
        counts = {
            name: len(where(task.pairs.image(row), TONES[name])) for name in (one, two)
        }
        assert (counts[one] > 2 * counts[two]) == first_is_larger
        assert (counts[two] > 2 * counts[one]) != first_is_larger
        seen[couple].add((first_is_larger, task.pairs.scenes[row].first.name == one))
    assert {*seen} == {*range(len(task.couples))}
    assert all(len(kinds) == 4 for kinds in seen.values())
    assert task.texts[0][0].split(" and ") == task.texts[0][1].split(" and ")[::-1]
    for couple, others in zip(task.couples, task.others, strict=True):
        assert len({*couple, *others}) == 4


def test_couples_are_distinct_and_each_name_meets_equally_many() -> None:
    names = [f"n{i}" for i in range(48)]
    couples = couples_of(names)
    assert len({frozenset(couple) for couple in couples}) == len(couples) == 192
    assert {*Counter(name for couple in couples for name in couple).values()} == {8}
    assert couples_of(names[::-1]) == couples
    assert couples_of(["one", "two"]) == []


def test_scenes_of_one_couple_fall_together() -> None:
    task = attribution(cuts_of())
    shown = defaultdict(set)
    for row, cluster in enumerate(task.clusters):
        scene = task.pairs.scenes[row]
        shown[cluster].add(frozenset((scene.first.name, scene.second.name)))
    assert all(len(couples) == 1 for couples in shown.values())
    assert len(shown) == 4


def test_fewer_than_three_things_offer_no_scene() -> None:
    few = cuts_of(("cup", "ant"))
    assert [make() for _, make in scene_offers(lambda: few, lambda: ("{}",))] == [
        None
    ] * 3
    assert [make() for _, make in scene_offers(lambda: None, lambda: ("{}",))] == [
        None
    ] * 3
