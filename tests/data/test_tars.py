"""Tar shards become pairs in an order that needs no reading of what came before."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import pytest

from tinyclip.config.schema import Data
from tinyclip.data import tar_index
from tinyclip.data.pairs import open_pairs
from tinyclip.errors import UserError
from tinyclip.files import draft_of


def opened(source: str, **settings: object):
    return open_pairs(Data(source=source, **settings))


def refusal(source: str, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        opened(source, **settings)
    return str(caught.value)


def one(make_tar, folder: Path, members: list[tuple[str, bytes]]) -> str:
    return f"tars:{make_tar(folder / 'x.tar', members)}"


def test_samples_come_in_the_order_of_shards(shards: str) -> None:
    pairs = opened(shards)
    assert len(pairs) == 12
    assert [pairs.key(i) for i in (0, 3, 4, 11)] == [
        *("00/000", "00/003", "01/004", "02/011")
    ]
    assert pairs.captions(5) == ("colour 5",)
    assert [pairs.image(i).getpixel((0, 0)) for i in (11, 0, 5)] == [
        *((11, 22, 7), (0, 0, 7), (5, 10, 7))
    ]


# webdataset leaves its files open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_samples_are_those_of_webdataset(shards: str, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    urls = [str(tmp_path / f"{i:02d}.tar") for i in range(3)]
    expected = list(webdataset.WebDataset(urls, shardshuffle=False))
    gc.collect()
    pairs = opened(shards)
    assert [pairs.key(i).split("/")[1] for i in range(12)] == [
        sample["__key__"] for sample in expected
    ]
    assert [pairs.read(i) for i in range(12)] == [sample["png"] for sample in expected]
    assert [pairs.captions(i)[0].encode() for i in range(12)] == [
        sample["txt"] for sample in expected
    ]


def test_members_of_a_sample_need_not_stand_together(
    make_tar, tmp_path: Path, picture
) -> None:
    members = [("a.txt", b"A"), ("b.TXT", b"B")]
    members += [("b.PNG", picture((2, 2, 2))), ("a.png", picture((1, 1, 1)))]
    pairs = opened(one(make_tar, tmp_path, members))
    assert [(pairs.key(i), pairs.captions(i)) for i in range(2)] == [
        *(("x/b", ("B",)), ("x/a", ("A",)))
    ]
    assert pairs.image(0).getpixel((0, 0)) == (2, 2, 2)


@pytest.mark.parametrize(
    ("about", "named", "captions"),
    [
        ({"caption": " one "}, None, ("one",)),
        ({"text": ["one", "two", "one"]}, None, ("one", "two")),
        ({"caption": "one", "blip": "two"}, "blip", ("two",)),
        ({"said": {"en": "one", "de": "eins"}}, "said.en", ("one",)),
        ({"said": [{"en": "one"}, {"en": "two"}]}, "said.en", ("one", "two")),
        ({"said.en": "one", "said": {"en": "two"}}, "said.en", ("one",)),
    ],
)
def test_captions_of_json(make_tar, tmp_path, picture, about, named, captions) -> None:
    members = [("a.png", picture((1, 2, 3))), ("a.json", json.dumps(about).encode())]
    pairs = opened(one(make_tar, tmp_path, members), caption_column=named)
    assert pairs.captions(0) == captions


@pytest.mark.parametrize("order", [1, -1])
def test_of_text_and_json_the_text_counts_unless_a_key_is_named(
    make_tar, tmp_path: Path, picture, order: int
) -> None:
    texts = [("a.txt", b"text"), ("a.json", b'{"caption": "json"}')][::order]
    source = one(make_tar, tmp_path, [("a.png", picture((1, 2, 3))), *texts])
    assert opened(source).captions(0) == ("text",)
    assert opened(source, caption_column="caption").captions(0) == ("json",)


def test_faults_are_counted_by_kind(make_tar, tmp_path: Path, picture) -> None:
    png = picture((1, 2, 3))
    texts = {
        "empty": ("txt", b" \n"),
        "binary": ("txt", b"\xff\xfe"),
        "long": ("txt", b"x" * 10_000_000),
        "list": ("json", b'{"caption": []}'),
        "number": ("json", b'{"caption": 7}'),
        "broken": ("json", b'{"caption": '),
        "deep": ("json", b"[" * 100_000),
        "other": ("json", b'{"url": "x"}'),
        "half": ("json", rb'{"caption": "\ud800"}'),
        "whole": ("txt", b"a"),
    }
    members = [(f"{key}.png", png) for key in (*texts, "alone", "whole")]
    members += [(f"{key}.{kind}", text) for key, (kind, text) in texts.items()]
    members += [("nothing.txt", b"a caption alone")]
    pairs = opened(one(make_tar, tmp_path, members), max_broken_share=0.95)
    assert [pairs.key(i) for i in range(len(pairs))] == ["x/whole"]
    assert pairs.dropped == {
        "empty caption": 2,
        "invalid UTF-8": 2,
        "long caption": 1,
        "bad JSON": 3,
        "no caption": 2,
        "duplicate key": 1,
        "no picture": 1,
    }
    assert "there is 'url'" in pairs.dropped.rows["x/other"][1]
    assert pairs.dropped.rows["x/binary"] == (
        *("invalid UTF-8", "byte 0 of the caption"),
    )


def test_pictures_with_a_second_dot_are_counted_and_shown(
    make_tar, tmp_path, picture
) -> None:
    """webdataset makes `take 2` of them, with the parts `1 (a).png`, `1 (a).txt`."""
    png = picture((1, 2, 3))
    members = [("clip 0.png", png), ("clip 0.txt", b"a")]
    for stem in ("take 2.1 (a)", "take 2.2 (b)"):
        members += [(f"{stem}.png", png), (f"{stem}.txt", b"b")]
    source = one(make_tar, tmp_path, members)
    pairs = opened(source, max_broken_share=0.7)
    assert (len(pairs), pairs.dropped) == (1, {"dotted name": 2})
    message = refusal(source)
    assert "2 of 3 pictures are broken" in message
    assert (
        "x/take 2.1 (a).png: dotted name (names are split at the first dot" in message
    )


def test_a_second_picture_of_a_sample_is_no_fault(make_tar, tmp_path, picture) -> None:
    png, members = picture((1, 2, 3)), []
    for i in range(2):
        members += [(f"{i}.png", png), (f"{i}.mask.png", png), (f"{i}.txt", b"a")]
    assert opened(one(make_tar, tmp_path, members)).dropped == {"other picture": 2}


def test_a_second_dot_that_hides_a_sample_of_its_own_is_counted(
    make_tar, tmp_path, picture
) -> None:
    png = picture((1, 2, 3))
    members = [("a.png", png), ("a.txt", b"a"), ("a.1.png", png), ("a.1.txt", b"b")]
    source = one(make_tar, tmp_path, members)
    assert opened(source, max_broken_share=0.5).dropped == {"dotted name": 1}


def test_a_caption_with_a_second_dot_is_pointed_at(make_tar, tmp_path, picture) -> None:
    members = [("a.png", picture((1, 2, 3))), ("a.out.txt", b"a")]
    message = refusal(one(make_tar, tmp_path, members))
    assert "is it a.out.txt? Then call that a.txt" in message


def test_what_lies_beside_a_picture_without_a_caption_is_shown(
    make_tar, tmp_path, picture
) -> None:
    members = [("a.png", picture((1, 2, 3))), ("a.caption", b"a"), ("a.cls", b"3")]
    message = refusal(one(make_tar, tmp_path, members))
    assert "no .txt or .json of this name; beside it is a.caption, a.cls" in message


def test_pictures_whose_names_begin_with_a_dot_are_counted_and_shown(
    make_tar, tmp_path, picture
) -> None:
    """But not what macOS writes beside each file, which is no picture."""
    png = picture((1, 2, 3))
    members = [("in/a.png", png), ("in/a.txt", b"a"), ("in/._a.png", b"\0\5\x16\7..")]
    members += [("in/.0.png", png), ("in/.0.txt", b"b"), (".1.JPG", png)]
    source = one(make_tar, tmp_path, members)
    pairs = opened(source, max_broken_share=0.7)
    assert (len(pairs), pairs.dropped) == (1, {"dotted name": 2})
    assert "x/in/.0.png: dotted name (names that begin with a dot" in refusal(source)


@pytest.mark.parametrize("named", [None, "caption"])
@pytest.mark.parametrize("several", [False, True])
def test_a_caption_with_fields_is_told_once_with_one_of_them(
    make_tar, tmp_path, picture, named, several
) -> None:
    said = {"number": 3, "en": "one"}
    about = json.dumps({"caption": [said] if several else said}).encode()
    members = []
    for i in range(3):
        members += [(f"{i}.png", picture((i, 2, 3))), (f"{i}.json", about)]
    source = one(make_tar, tmp_path, members)
    message = refusal(source, caption_column=named)
    kind = "lists of {number, en}" if several else "{number, en}"
    assert f"of 3 of 3 samples the value 'caption' holds {kind}, not text" in message
    assert message.count("--set data.caption_column=caption.en") == 1
    assert opened(source, caption_column="caption.en").captions(0) == ("one",)


def test_a_few_captions_with_fields_are_counted(make_tar, tmp_path, picture) -> None:
    members = [("a.png", picture((1, 2, 3))), ("a.txt", b"a")]
    members += [("b.png", picture((1, 2, 3))), ("b.json", b'{"text": {"en": "b"}}')]
    pairs = opened(one(make_tar, tmp_path, members), max_broken_share=0.5)
    assert pairs.dropped == {"no text": 1}


def test_of_usual_names_the_one_with_text_is_the_caption(
    make_tar, tmp_path, picture
) -> None:
    about = b'{"caption": {"en": "one"}, "text": "two"}'
    members = [("a.png", picture((1, 2, 3))), ("a.json", about)]
    assert opened(one(make_tar, tmp_path, members)).captions(0) == ("two",)


def test_over_the_share_the_first_ten_are_shown(make_tar, tmp_path, picture) -> None:
    members = [(f"{i}.png", picture((1, 2, 3))) for i in range(12)]
    message = refusal(one(make_tar, tmp_path, [*members, ("0.txt", b"a")]))
    assert "11 of 12 pictures are broken" in message
    assert "x/1: no caption" in message
    assert "and 1 more" in message


def test_a_second_opening_reads_the_cache(shards, monkeypatch) -> None:
    first = opened(shards)

    def never(*_: object) -> None:
        raise AssertionError("scanned again")

    monkeypatch.setattr(tar_index, "scan", never)
    again = opened(shards)
    assert again.captions(7) == first.captions(7)
    assert again.fingerprint() == first.fingerprint()


def test_a_shard_that_changed_is_read_again(
    shards, make_tar, tmp_path, picture
) -> None:
    opened(shards)
    make_tar(tmp_path / "01.tar", [("z.png", picture((9, 9, 9))), ("z.txt", b"new")])
    pairs = opened(shards)
    assert (len(pairs), pairs.captions(4)) == (9, ("new",))


def test_what_was_dropped_is_in_the_cache_too(make_tar, tmp_path, picture) -> None:
    members = [("a.png", picture((1, 2, 3))), ("a.txt", b"a"), ("b.txt", b"b")]
    source = one(make_tar, tmp_path, members)
    first = opened(source, max_broken_share=0.5)
    again = opened(source, max_broken_share=0.5)
    assert again.dropped == first.dropped == {"no picture": 1}
    assert again.dropped.rows == first.dropped.rows


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", bytes])
def test_a_torn_cache_is_made_again(shards: str, cache: Path, damage) -> None:
    opened(shards)
    files = sorted(cache.rglob("*.arrow"))
    assert len(files) == 3
    for file in files:
        file.write_bytes(damage(file.read_bytes()[:-9]))
    assert opened(shards).captions(7) == ("colour 7",)


def test_an_index_that_says_something_else_is_made_again(
    shards: str, cache: Path
) -> None:
    opened(shards)
    for file in cache.rglob("*.arrow"):
        file.write_bytes(file.read_bytes().replace(b"colour 7", b"colour 8"))
    assert opened(shards).captions(7) == ("colour 7",)


def test_drafts_of_dead_processes_go_when_the_next_index_is_kept(
    shards: str, cache: Path
) -> None:
    opened(shards)
    file, *others = cache.rglob("*.arrow")
    left = file.rename(draft_of(file))
    opened(shards)
    assert not left.exists()
    assert len([*cache.rglob("*.arrow")]) == 1 + len(others)


def test_a_cache_that_cannot_be_written_is_said(shards, cache, monkeypatch, caplog):
    (cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    assert len(opened(shards)) == 12
    assert "is not kept" in caplog.text


def test_scanning_for_long_tells_how_far_it_is(shards, monkeypatch, caplog) -> None:
    monkeypatch.setattr(tar_index, "LOG_EVERY", -1.0)
    opened(shards)
    assert "indexing: 2 of 3 shards, 8 pairs" in caplog.text
    assert "indexed 3 shards, 12 pairs" in caplog.text


def test_a_torn_shard_over_the_share_stops_and_below_it_is_counted(
    shards: str, tmp_path: Path
) -> None:
    path = tmp_path / "01.tar"
    path.write_bytes(path.read_bytes()[: 2 * 2048 + 520])
    assert "1 of 3 shards are torn" in refusal(shards)
    pairs = opened(shards, max_broken_share=0.34)
    assert len(pairs) == 10
    assert pairs.dropped == {"torn tar": 1}
    assert pairs.image(5).getpixel((0, 0)) == (5, 10, 7)
    assert pairs.captions(6) == ("colour 8",)


def test_a_shard_that_vanishes_later_breaks_its_rows(shards, tmp_path: Path) -> None:
    pairs = opened(shards)
    (tmp_path / "01.tar").unlink()
    (tmp_path / "02.tar").write_bytes(b"")
    assert pairs.image(0)
    for row, kind in ((4, "missing"), (8, "truncated")):
        with pytest.raises(Exception, match=kind):
            pairs.image(row)


def test_excluded_keys_are_left_out(shards: str) -> None:
    pairs = opened(shards, exclude=("01/*",))
    assert len(pairs) == 8
    assert pairs.key(4) == "02/008"
    assert pairs.dropped == {"excluded": 4}


def test_a_tar_without_samples_is_refused(make_tar, tmp_path: Path) -> None:
    assert "no row can be used" in refusal(one(make_tar, tmp_path, [("a.cls", b"1")]))


def test_the_fingerprint_is_of_content(shards, make_tar, tmp_path, picture) -> None:
    first = opened(shards).fingerprint()
    for path in tmp_path.glob("*.tar"):
        os.utime(path, (1, 1))
    assert opened(shards).fingerprint() == first
    elsewhere = tmp_path / "moved"
    elsewhere.mkdir()
    for path in tmp_path.glob("*.tar"):
        path.rename(elsewhere / path.name)
    moved = f"tars:{elsewhere}"
    assert opened(moved).fingerprint() == first
    prints = {first, opened(moved, background="black").fingerprint()}
    for text, colour in ((b"colour 4", (9, 9, 9)), (b"colour x", (9, 9, 9))):
        members = [("004.png", picture(colour)), ("004.txt", text)]
        make_tar(elsewhere / "01.tar", members)
        prints.add(opened(moved).fingerprint())
    assert len(prints) == 4


def test_the_fingerprint_notices_other_pictures_of_the_same_size(
    make_tar, tmp_path: Path
) -> None:
    prints = set()
    for content in (b"one", b"two"):
        members = [("a.png", content), ("a.txt", b"a")]
        prints.add(opened(one(make_tar, tmp_path, members)).fingerprint())
    assert len(prints) == 2
