"""The Pictograms builder's pure parts, and the set that ships."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "pictograms"
SHIPPED = ROOT / "tinyclip" / "data" / "builtin" / "pictograms.parquet"
COLUMNS = (
    *("key", "image", "kind", "concept", "name", "keywords", "captions"),
    *("group", "subgroup", "source", "licence", "split"),
)
SPLITS = {"train", "dev", "test_designer", "test_unseen", "test_clipart"}


@pytest.fixture(scope="module")
def shipped() -> dict[str, list]:
    """The text columns of the shipped file."""
    names = [name for name in COLUMNS if name != "image"]
    return pq.read_table(SHIPPED, columns=names).to_pydict()


def clip_art(pictoset: ModuleType, number: int, name: str) -> object:
    return pictoset.drawing.Drawing(
        key=f"clipart/{number}",
        kind="clipart",
        concept=f"clipart:{number}",
        name=name,
        keywords=(),
        group="animals",
        subgroup="animals",
        source="openclipart",
        svg="",
    )


def test_split_hash_never_changes(pictoset: ModuleType) -> None:
    assert pictoset.splits.unit_hash("concept/emoji:1f600") == pytest.approx(
        0.8793094687, abs=1e-9
    )


def test_an_unseen_concept_is_unseen_whoever_drew_it(pictoset: ModuleType) -> None:
    splits = pictoset.splits
    unseen = next(c for c in map(str, range(99)) if splits.is_unseen(c))
    drawn = {splits.emoji_split(unseen, name) for name in pictoset.sources.SOURCES}
    assert drawn == {"test_unseen", None}


def test_a_title_has_at_most_eight_clip_arts(pictoset: ModuleType) -> None:
    series = [clip_art(pictoset, i, "red star") for i in range(20)]
    other = clip_art(pictoset, 20, "blue star")
    assert pictoset.splits.cap_series([*series, other]) == [*series[:8], other]


def test_a_title_is_trained_or_tested_and_tested_once(pictoset: ModuleType) -> None:
    names = [f"thing {chr(97 + i % 26)}" for i in range(78)]
    drawings = [clip_art(pictoset, i, name) for i, name in enumerate(names)]
    splits = pictoset.splits.split_all(drawings)
    for name in set(names):
        own = [s for s, n in zip(splits, names, strict=True) if n == name]
        assert own in (["train"] * 3, ["test_clipart", None, None])


def test_captions_begin_with_the_name_and_do_not_repeat(pictoset: ModuleType) -> None:
    make = pictoset.captions.make_captions
    captions = make("emoji", "cat", ["pet", "tail"], "animals-nature", "mammal")
    assert captions[0] == "cat"
    assert "an emoji of cat" in captions
    assert "cat, pet, tail" in captions
    assert "cat, mammal" in captions
    assert "a animals nature emoji" in captions
    assert len(captions) == len(set(captions))


def test_text_presentation_marks_are_no_part_of_a_code(pictoset: ModuleType) -> None:
    assert pictoset.emoji.code_of("2764-FE0F-200D-1F525") == "2764-200d-1f525"


def test_white_shows_through_transparency(pictoset: ModuleType) -> None:
    rgba = np.array([[[0, 0, 0, 0], [10, 20, 30, 255]]], np.uint8)
    white = pictoset.render.on_white(rgba)
    assert white.tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_shipped_columns_are_the_documented_ones() -> None:
    assert tuple(pq.read_schema(SHIPPED).names) == COLUMNS


def test_shipped_keys_are_unique(shipped: dict[str, list]) -> None:
    assert len(set(shipped["key"])) == len(shipped["key"])


def test_shipped_splits_and_kinds_are_the_documented_ones(
    shipped: dict[str, list],
) -> None:
    assert set(shipped["split"]) == SPLITS
    assert set(shipped["kind"]) == {"emoji", "clipart"}


def test_every_shipped_row_has_its_sources_permissive_licence(
    pictoset: ModuleType, shipped: dict[str, list]
) -> None:
    sources = pictoset.sources.SOURCES
    stated = {name: source.licence for name, source in sources.items()}
    rows = set(zip(shipped["source"], shipped["licence"], strict=True))
    assert all(stated[name] == licence for name, licence in rows)
    assert {licence for _, licence in rows} <= pictoset.sources.PERMISSIVE


def test_notice_names_every_source_and_its_version(pictoset: ModuleType) -> None:
    notice = (ROOT / "NOTICE").read_text()
    for source in pictoset.sources.SOURCES.values():
        assert f"{source.package} {source.version}" in notice


def test_shipped_splits_share_no_picture_they_should_not(
    shipped: dict[str, list],
) -> None:
    rows = SimpleNamespace(**shipped)
    concepts: dict[str, set] = {split: set() for split in SPLITS}
    for concept, split in zip(rows.concept, rows.split, strict=True):
        concepts[split].add(concept)
    trained = concepts["train"]
    assert concepts["dev"] | concepts["test_designer"] <= trained
    assert not concepts["test_unseen"] & trained
    assert not concepts["test_clipart"] & trained
    designers = set(zip(rows.split, rows.source, strict=True))
    assert {source for split, source in designers if split == "dev"} == {"fxemoji"}
    assert ("train", "twemoji") not in designers
    assert ("train", "fxemoji") not in designers


def test_clip_art_test_names_are_unique(shipped: dict[str, list]) -> None:
    pairs = zip(shipped["name"], shipped["split"], strict=True)
    names = [name for name, split in pairs if split == "test_clipart"]
    assert len(names) == len(set(names))


def test_shipped_file_is_the_one_that_checksums_state(pictoset: ModuleType) -> None:
    from pictoset.fetch import sha256

    stated = json.loads((FOLDER / "checksums.json").read_text())["sets"]
    assert sha256(SHIPPED) == stated["pictograms.parquet"]["sha256"]
    assert SHIPPED.stat().st_size <= 9_000_000
