"""Splits of a parquet file of pictures."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyclip.config.schema import Data
from tinyclip.data.pairs import Broken, open_pairs
from tinyclip.errors import UserError


def opened(file: Path, split: str = "train", **settings: object):
    return open_pairs(Data(source=f"parquet:{file}", **settings), split)


def test_a_split_holds_its_rows(pictograms: Path) -> None:
    pairs = opened(pictograms, "test_unseen")
    assert [pairs.key(i) for i in range(len(pairs))] == [
        f"set/{i}" for i in range(21, 25)
    ]
    assert pairs.captions(0) == ("name 3", "an emoji of name 3")


def test_pictures_are_those_of_the_split(pictograms: Path) -> None:
    pairs = opened(pictograms, "dev")
    assert [pairs.image(i).getpixel((0, 0))[0] for i in range(3)] == [12, 13, 14]


def test_excluded_keys_are_dropped_and_counted(pictograms: Path) -> None:
    pairs = opened(pictograms, exclude=("set/1*",))
    assert len(pairs) == 9
    assert pairs.dropped == {"excluded": 3}


def rewritten(file: Path, **changes: object) -> Path:
    rows = pq.read_table(file).to_pylist()
    rows[0].update(changes)
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def test_rows_without_captions_are_dropped_and_counted(pictograms: Path) -> None:
    pairs = opened(rewritten(pictograms, captions=[]))
    assert len(pairs) == 11
    assert pairs.dropped == {"no caption": 1}


def test_a_damaged_picture_is_broken(pictograms: Path) -> None:
    with pytest.raises(Broken, match="not a picture"):
        opened(rewritten(pictograms, image=b"RIFF")).image(0)


def test_a_row_without_picture_is_broken(pictograms: Path) -> None:
    with pytest.raises(Broken, match="empty"):
        opened(rewritten(pictograms, image=None)).image(0)


def test_the_fingerprint_changes_with_file_split_and_exclusion(pictograms) -> None:
    prints = {
        opened(pictograms).fingerprint(),
        opened(pictograms, "dev").fingerprint(),
        opened(pictograms, exclude=("set/1",)).fingerprint(),
    }
    prints.add(opened(rewritten(pictograms, name="other")).fingerprint())
    assert len(prints) == 4


def refusal(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        opened(file)
    return str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "1 of 1 files are not there" in refusal(tmp_path / "no.parquet")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"path,caption\n" * 9)
    assert "no parquet file" in refusal(tmp_path / "x.parquet")


def test_a_table_of_another_form_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"keys": ["a"]}), tmp_path / "x.parquet")
    assert "no image column among its columns 'keys'" in refusal(tmp_path / "x.parquet")


def test_a_split_without_rows_is_refused(pictograms: Path) -> None:
    rows = [
        row for row in pq.read_table(pictograms).to_pylist() if row["split"] != "train"
    ]
    pq.write_table(pa.Table.from_pylist(rows), pictograms)
    assert "no rows of the split 'train'" in refusal(pictograms)
