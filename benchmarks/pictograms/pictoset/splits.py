"""The split of every picture, decided by hashes of names."""

import hashlib
import re
from collections import Counter

from pictoset.drawing import Drawing
from pictoset.sources import DEV_DESIGNER, SECOND_DEV_DESIGNER, TEST_DESIGNER

UNSEEN_SHARE = 0.10
CLIPART_TEST_SHARE = 0.28
SERIES_CAP = 8
NEED_KNOWN = ("dev", "dev_openmoji", "test_designer")


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def is_unseen(concept: str) -> bool:
    """Whether a concept is kept out of training, whoever drew it."""
    return unit_hash("concept/" + concept) < UNSEEN_SHARE


def emoji_split(concept: str, source: str) -> str | None:
    """The split of an emoji; None where it belongs to no split."""
    if is_unseen(concept):
        # The second development designer does not ship, so the tests leave it out.
        return None if source == SECOND_DEV_DESIGNER else "test_unseen"
    return {
        DEV_DESIGNER: "dev",
        SECOND_DEV_DESIGNER: "dev_openmoji",
        TEST_DESIGNER: "test_designer",
    }.get(source, "train")


def title_key(name: str) -> str:
    """What makes two clip-art titles the same."""
    return re.sub(r"[^a-z]", "", name)


def cap_series(drawings: list[Drawing], cap: int = SERIES_CAP) -> list[Drawing]:
    """Keep at most `cap` clip-arts of one title; emoji pass through."""
    counts: Counter[str] = Counter()
    kept = []
    for drawing in drawings:
        if drawing.kind == "clipart":
            counts[title_key(drawing.name)] += 1
            if counts[title_key(drawing.name)] > cap:
                continue
        kept.append(drawing)
    return kept


def split_all(drawings: list[Drawing]) -> list[str | None]:
    """The split of each drawing, in order; None for those that are left out.

    A clip-art title is wholly in training or wholly out of it; of one that is out,
    the first drawing is tested, so that every caption in the test is unique. Emoji
    whose concept no training designer drew are left out: they are neither known
    nor among the chosen unseen concepts.
    """
    splits: list[str | None] = []
    tested: set[str] = set()
    for drawing in drawings:
        if drawing.kind == "emoji":
            splits.append(emoji_split(drawing.concept, drawing.source))
            continue
        title = title_key(drawing.name)
        if unit_hash("title/" + title) >= CLIPART_TEST_SHARE:
            splits.append("train")
        elif title in tested:
            splits.append(None)
        else:
            tested.add(title)
            splits.append("test_clipart")
    trained = {d.concept for d, s in zip(drawings, splits, strict=True) if s == "train"}

    def stands(drawing: Drawing, split: str | None) -> bool:
        return split not in NEED_KNOWN or drawing.concept in trained

    return [
        split if stands(drawing, split) else None
        for drawing, split in zip(drawings, splits, strict=True)
    ]
