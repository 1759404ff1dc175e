"""Parquet files of bytes or paths become pairs, read by row group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyclip.config.schema import Data
from tinyclip.data import parquet_files, parquets
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.parquets import ParquetRows
from tinyclip.data.pictograms import LIST_COLUMNS, TEXT_COLUMNS
from tinyclip.data.pictures import Broken
from tinyclip.errors import UserError


def opened(source: object, **settings: object):
    return open_pairs(Data(source=f"parquet:{source}", **settings))


def refusal(source: object, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        opened(source, **settings)
    return str(caught.value)


@pytest.fixture
def written(tmp_path: Path, picture):
    """A file of `count` rows in groups of four; row i has colour (i, 2i, 7)."""

    def write(count: int = 10, name: str = "x.parquet", first: int = 0, **columns):
        rows = range(first, first + count)
        table = {
            "image": [picture((i, 2 * i, 7)) for i in rows],
            "caption": [f"colour {i}" for i in rows],
            **columns,
        }
        file = tmp_path / name
        present = {name: values for name, values in table.items() if values is not None}
        pq.write_table(pa.table(present), file, row_group_size=4)
        return file

    return write


def test_rows_have_keys_captions_and_pictures(written) -> None:
    pairs = opened(written())
    assert len(pairs) == 10
    assert (pairs.key(9), pairs.captions(9)) == ("x#9", ("colour 9",))
    assert [pairs.image(i).getpixel((0, 0)) for i in (9, 0)] == [(9, 18, 7), (0, 0, 7)]


def test_captions_may_be_a_field_or_lists_of_things_with_fields(written) -> None:
    said = [{"en": f"a {i}", "n": i} for i in range(10)]
    lists = [[{"en": f"a {i}"}, {"en": "b"}] for i in range(10)]
    file = written(said=said, lists=lists, caption=None)
    assert opened(file, caption_column="said.en").captions(3) == ("a 3",)
    assert opened(file, caption_column="lists.en").captions(3) == ("a 3", "b")
    message = refusal(file, caption_column="said")
    assert "'said' holds {en, n}, not text" in message
    assert "--set data.caption_column=said.en" in message


@pytest.mark.parametrize("lists", [False, True])
def test_paths_may_have_lists_of_captions(written, tmp_path, picture, lists) -> None:
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes(picture((i, 0, 0)))
    names, texts = [f"{i}.png" for i in range(10)], [f"a {i}" for i in range(10)]
    several = [[text, "b"] for text in texts[:8]] + [[], None]
    file = written(image=names, caption=several if lists else texts)
    pairs = opened(file, max_broken_share=0.2)
    assert pairs.captions(3) == (("a 3", "b") if lists else ("a 3",))
    assert pairs.dropped == ({"empty caption": 1, "no caption": 1} if lists else {})


def test_several_files_are_one_source(written, tmp_path: Path) -> None:
    written(10, "0.parquet")
    written(5, "1.parquet", first=10)
    pairs = opened(tmp_path / "{0..1}.parquet")
    assert len(pairs) == 15
    assert (pairs.key(12), pairs.captions(12)) == ("1#2", ("colour 12",))
    assert pairs.image(12).getpixel((0, 0)) == (12, 24, 7)
    assert [opened(tmp_path).key(i) for i in (0, 14)] == ["0#0", "1#4"]


def test_pictures_of_hugging_face_are_structs(written, picture) -> None:
    rows = [{"bytes": picture((i, 0, 0)), "path": f"{i}.png"} for i in range(10)]
    pairs = opened(written(image=rows))
    assert pairs.image(3).getpixel((0, 0)) == (3, 0, 0)


def test_captions_may_be_lists(written) -> None:
    texts = [[f"a {i}", f"b {i}", f"a {i}"] for i in range(10)]
    assert opened(written(caption=texts)).captions(3) == ("a 3", "b 3")


def test_captions_may_be_categories(written) -> None:
    texts = pa.array([f"c{i % 2}" for i in range(10)]).dictionary_encode()
    assert opened(written(caption=texts)).captions(3) == ("c1",)


def test_columns_can_be_named(written) -> None:
    texts = [f"blip {i}" for i in range(10)]
    assert opened(written(blip=texts), caption_column="blip").captions(1) == ("blip 1",)
    assert "Did you mean 'caption'?" in refusal(written(), caption_column="captoin")


def test_paths_are_relative_to_the_file(written, tmp_path: Path, picture) -> None:
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes(picture((i, i, i)))
    paths = [f"./{i}.png" for i in range(10)]
    pairs = opened(written(image=None, path=paths))
    assert (pairs.key(3), pairs.captions(3)) == ("3.png", ("colour 3",))
    assert pairs.image(3).getpixel((0, 0)) == (3, 3, 3)


def test_rows_without_caption_are_counted(written) -> None:
    texts = [None, "", "  ", "x" * 20_000, *"abcdef"]
    pairs = opened(written(caption=texts), max_broken_share=0.5)
    assert len(pairs) == 6
    assert (pairs.key(0), pairs.captions(0)) == ("x#4", ("a",))
    assert pairs.image(0).getpixel((0, 0)) == (4, 8, 7)
    assert pairs.dropped == {"no caption": 1, "empty caption": 2, "long caption": 1}
    assert "x#0: no caption" in refusal(written(caption=texts))


def test_a_row_without_picture_is_broken_when_it_is_read(written, picture) -> None:
    pictures = [picture((1, 2, 3)), None, b"", b"GIF89a", *[picture((4, 5, 6))] * 6]
    pairs = opened(written(image=pictures))
    for row, kind in ((1, "no picture"), (2, "empty"), (3, "unreadable")):
        with pytest.raises(Broken, match=kind):
            pairs.image(row)


def test_excluded_keys_are_left_out(written) -> None:
    pairs = opened(written(), exclude=("*#[0-3]",))
    assert (len(pairs), pairs.key(0)) == (6, "x#4")
    assert pairs.dropped == {"excluded": 4}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": list(range(10))}, "'image' holds int64, not pictures"),
        ({"caption": list(range(10))}, "'caption' holds int64, not text"),
        ({"image": None}, "no image column"),
        ({"caption": None}, "no caption column"),
    ],
)
def test_columns_of_another_kind_are_refused(written, columns, message: str) -> None:
    assert message in refusal(written(**columns))


def test_a_file_without_rows_is_refused(written) -> None:
    assert "no row can be used" in refusal(
        written(0, image=pa.array([], pa.binary()), caption=pa.array([], pa.string()))
    )


def test_what_is_no_parquet_is_refused(tmp_path: Path, written) -> None:
    whole = written().read_bytes()
    for content in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "y.parquet").write_bytes(content)
        assert "no parquet file, or not a whole one" in refusal(tmp_path / "y.parquet")


@pytest.fixture
def large(written, monkeypatch):
    """Ten row groups of four, of which two are held at a time; what was read."""
    file = written(40)
    sizes = ParquetRows("x", [file], "image")
    group = max(
        parquets._bytes_of(sizes._footers[0].row_group(i), "image") for i in range(10)
    )
    monkeypatch.setattr(parquets, "HELD", 4 * group + 1)
    asked: list[int] = []
    read = ParquetRows._read_group

    def counted(self: ParquetRows, group: int):
        asked.append(group)
        return read(self, group)

    monkeypatch.setattr(ParquetRows, "_read_group", counted)
    return opened(file), asked


def test_an_epoch_of_a_large_file_reads_each_row_group_once(
    large, preprocess, tokenizer
) -> None:
    pairs, asked = large
    batches = Loader(pairs, range(40), preprocess, tokenizer, seed=1, batch=8, memory=0)
    rows = [int(i) for step in range(5) for i in batches.batch(step).index_B]
    assert sorted(rows) == list(range(40))
    assert sorted(asked) == list(range(10))
    assert rows != sorted(rows)
    # a batch mixes the rows of two groups
    assert {row // 4 for row in rows[:8]} == set(asked[:2])
    assert [row // 4 for row in rows[:8]] != sorted(row // 4 for row in rows[:8])


def test_a_large_file_is_never_held_whole(large) -> None:
    pairs, _ = large
    for i in range(40):
        assert pairs.image(i).getpixel((0, 0)) == (i, 2 * i, 7)
        assert len(pairs.source._held) <= 4


def test_a_part_of_a_large_file_is_read_by_row_group_too(
    large, preprocess, tokenizer
) -> None:
    pairs, asked = large
    train, _ = open_split(Data(source=pairs.name))
    rows = len(train)
    batches = Loader(
        train, range(rows), preprocess, tokenizer, seed=1, batch=rows, memory=0
    )
    index = batches.batch(0).index_B
    colours = {i: pairs.image(i).getpixel((0, 0)) for i in range(40)}
    assert [train.image(int(i)).getpixel((0, 0))[0] for i in index] == [
        int(train.pairs.key(int(train.indices[int(i)])).split("#")[1]) for i in index
    ]
    assert len(colours) == 40
    assert max(asked.count(group) for group in range(10)) <= 4


def test_rows_left_out_shift_no_row_into_another_group(large) -> None:
    pairs, _ = large
    some = opened(pairs.name.removeprefix("parquet:"), exclude=("*#[0-5]",))
    groups = [int(some.key(i).split("#")[1]) // 4 for i in range(34)]
    assert some.blocks.block_N.tolist() == groups


def test_a_row_group_that_fits_nowhere_is_refused(written, monkeypatch) -> None:
    monkeypatch.setattr(parquets, "LARGEST", 100)
    assert "row_group_size=1000" in refusal(written())


def test_a_damaged_row_group_breaks_its_rows(tmp_path: Path, picture) -> None:
    """Where its writer left checksums; the rows of other groups stay right."""
    rng = np.random.default_rng(0)
    rows = [picture((i, 0, 0)) + rng.bytes(500) for i in range(8)]
    table = pa.table({"image": rows, "caption": [f"c{i}" for i in range(8)]})
    file = tmp_path / "x.parquet"
    pq.write_table(
        table,
        file,
        row_group_size=4,
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
    )
    content = bytearray(file.read_bytes())
    at = bytes(content).index(rows[1])
    content[at + len(rows[1]) - 9] ^= 255  # behind the picture: nothing else shows it
    file.write_bytes(content)
    pairs = opened(file)
    with pytest.raises(Broken, match="row group 0"):
        pairs.image(1)
    assert pairs.image(5).getpixel((0, 0)) == (5, 0, 0)


def test_the_fingerprint_changes_with_captions_and_pictures(written, picture) -> None:
    prints = [opened(written()).fingerprint()]
    assert opened(written()).fingerprint() == prints[0]
    prints.append(opened(written(caption=["x"] * 10)).fingerprint())
    prints.append(opened(written(image=[picture((9, 9, 9))] * 10)).fingerprint())
    prints.append(opened(written(), background="black").fingerprint())
    assert len(set(prints)) == 4


def test_the_same_rows_are_never_trained_and_validated_on(written, tmp_path) -> None:
    written(10, "0.parquet")
    written(5, "1.parquet", first=10)
    both, second = tmp_path / "{0..1}.parquet", tmp_path / "1.parquet"
    data = Data(source=f"parquet:{both}", val=f"parquet:{second}")
    train, val = open_split(data)
    assert (len(train), len(val)) == (10, 5)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(pa.int64(), 2**33), (pa.list_(pa.int64()), [3]), (pa.string(), "x")],
)
def test_pictures_whose_bytes_are_something_else_are_refused(
    written, kind, value
) -> None:
    cells = pa.array([{"bytes": value}] * 10, pa.struct([("bytes", kind)]))
    assert "not pictures" in refusal(written(image=cells))


def test_a_second_file_with_other_columns_is_refused(written, tmp_path) -> None:
    first = written().rename(tmp_path / "a.parquet")
    second = written(caption=list(range(10))).rename(tmp_path / "b.parquet")
    with pytest.raises(UserError, match="b.parquet: the column 'caption' holds int64"):
        open_pairs(Data(source=f"parquet:{first},{second}"))


def in_one_group(file: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), file)
    return file


def test_a_picture_that_is_stored_once_takes_its_room_once(tmp_path, picture) -> None:
    large = picture((1, 2, 3)) + bytes(2**20)
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000), [large])
    file = in_one_group(tmp_path / "x.parquet", image=images, caption=["a b"] * 2_000)
    before = pa.total_allocated_bytes()
    pairs = ParquetRows("x", [file], "image")
    assert pairs.read(7) == large
    assert pa.total_allocated_bytes() - before < 2**25


@pytest.mark.parametrize("listed", [False, True])
def test_texts_that_swell_are_refused(tmp_path, picture, listed, monkeypatch) -> None:
    monkeypatch.setattr(parquet_files, "FREE", 2**18)
    text = "x" * 2**14
    file = in_one_group(
        tmp_path / "x.parquet",
        image=[picture((1, 2, 3))] * 900,
        caption=[[text] if listed else text] * 900,
    )
    assert "stands for more than" in refusal(file)
    paths = in_one_group(
        tmp_path / "y.parquet", image=[text] * 900, caption=["a"] * 900
    )
    assert "stands for more than" in refusal(paths)


def test_cells_of_repeated_and_other_pictures_are_read_too(
    tmp_path, picture, monkeypatch
) -> None:
    """Arrow cannot read these as they are stored."""
    monkeypatch.setattr(parquet_files, "FREE", 2**18)
    rng = np.random.default_rng(0)
    images = [
        {"bytes": picture((i, 9, 9)) + rng.bytes(2**18), "path": f"{i}"}
        for i in range(10)
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array(images, kind)
    file = in_one_group(tmp_path / "x.parquet", image=cells, caption=["a b"] * 10)
    pairs = opened(file)
    assert [pairs.image(i).getpixel((0, 0)) for i in (7, 2)] == [(7, 9, 9), (2, 9, 9)]


def test_more_values_than_a_file_can_hold_are_refused(tmp_path) -> None:
    one = pa.DictionaryArray.from_arrays(pa.array([0] * 10**6), ["a"])
    file = in_one_group(tmp_path / "x.parquet", image=one, caption=one)
    assert "states 1000000 values in a file of" in refusal(file)


def test_a_file_like_the_embedded_one_with_other_kinds_is_any_parquet(tmp_path) -> None:
    names = ("image", *TEXT_COLUMNS, *LIST_COLUMNS)
    file = in_one_group(tmp_path / "x.parquet", **dict.fromkeys(names, [1, 2]))
    assert "holds int64, not" in refusal(file)
