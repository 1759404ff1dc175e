"""Captions beside their swapped forms: what is drawn, which pairs serve for what."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made import WORDS, MadePairs  # type: ignore[import-not-found]
from PIL import Image

from tinyclip.config.schema import Data
from tinyclip.data.swaps import CAPTIONS, LEAST, Swaps, parts_of, swaps_of
from tinyclip.errors import UserError


class Many(MadePairs):
    """Pictures of more captions than are taken."""

    def captions(self, i: int) -> tuple[str, ...]:
        return tuple(f"a red cup {i} and a blue hat {n}" for n in range(9))


def source(folder: Path, count: int, swappable: bool = True) -> Data:
    """Pairs that lie there; their pictures need not."""
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for i in range(count):
            Image.new("RGB", (2, 2)).save(folder / f"{i}.png")
            one, two = WORDS[i % 8], WORDS[(i // 8 + i + 1) % 8]
            both = f"a {one} thing{i} and a {two} hat" if swappable else f"thing{i}"
            writer.writerow([f"{i}.png", both])
    return Data(source=f"csv:{folder / 'pairs.csv'}")


def keys(swaps: Swaps) -> set[str]:
    return {swaps.pairs.key(row) for row in range(len(swaps.pairs))}


def test_a_swapped_form_has_the_same_words_and_is_no_caption_of_the_picture() -> None:
    swaps = swaps_of(MadePairs(40), 0)
    assert swaps.swappable >= 15
    for row, text, swap in zip(swaps.rows, swaps.texts, swaps.swaps, strict=True):
        if swap is not None:
            assert sorted(swap.split()) == sorted(text.split())
            assert swap not in swaps.pairs.captions(row)


def test_of_many_captions_the_seed_draws_some() -> None:
    one, same, other = (swaps_of(Many(6), seed) for seed in (0, 0, 1))
    assert len(one.texts) == 6 * CAPTIONS
    assert one.texts == same.texts and one.swaps == same.swaps
    assert one.texts != other.texts


def test_no_picture_is_in_two_parts(tmp_path: Path) -> None:
    parts = parts_of(source(tmp_path, 200), 0)
    sets = [keys(part) for part in (parts.learn, parts.choose, parts.tell)]
    assert [len(each) for each in sets] == [100, 50, 50]
    assert len(set.union(*sets)) == 200


def test_a_limit_is_of_the_pairs_to_learn_from(tmp_path: Path) -> None:
    parts = parts_of(replace(source(tmp_path, 200), limit=40), 0)
    assert [len(keys(part)) for part in (parts.learn, parts.tell)] == [40, 50]


@pytest.mark.parametrize(("count", "swappable"), [(200, False), (20, True)])
def test_too_little_to_swap_is_told_before_a_model_is_loaded(
    tmp_path: Path, count: int, swappable: bool
) -> None:
    words = f"two words of a kind .* and {LEAST} are needed. Give more pairs"
    with pytest.raises(UserError, match=words):
        parts_of(source(tmp_path, count, swappable), 0)


def test_what_a_text_tower_does_not_read_is_no_swapped_form() -> None:
    class Short:
        """Reads four words."""

        def __call__(self, texts: list[str]) -> torch.Tensor:
            known = [[hash(word) for word in text.split()[:4]] for text in texts]
            return torch.tensor([row + [0] * (4 - len(row)) for row in known])

    pairs = MadePairs(1)
    swaps = Swaps(pairs, (0, 0), ("a b c d e f", "a b c d"), ("a b c d f e", "b a c d"))
    assert swaps.read_by(Short()).swaps == (None, "b a c d")


def test_its_task_asks_for_the_caption_before_its_swapped_form() -> None:
    swaps = swaps_of(MadePairs(12), 0)
    task = swaps.task()
    assert len(task.rows) == swaps.swappable == len(task.texts)
    for row, (true, false) in zip(task.rows, task.texts, strict=True):
        assert true in swaps.pairs.captions(row) and false != true


def test_pictures_of_one_first_caption_count_together() -> None:
    clusters = swaps_of(MadePairs(16), 0).task().clusters
    assert clusters is not None
    assert clusters[:8] == clusters[8:] == tuple(range(8))


def test_captions_that_can_be_swapped_come_first() -> None:
    class Mixed(MadePairs):
        def captions(self, i: int) -> tuple[str, ...]:
            return ("cup", "hat", "a cup", "a hat", "a cup and a hat")

    swaps = swaps_of(Mixed(3), 0)
    assert swaps.texts[::CAPTIONS] == ("a cup and a hat",) * 3
    assert swaps.swappable == 3 and len(swaps.texts) == 3 * CAPTIONS
