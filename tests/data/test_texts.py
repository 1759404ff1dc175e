"""Texts without pictures: what is read of a file, and what is left out and told."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tinyclip.config.schema import Data
from tinyclip.data import notes
from tinyclip.data.texts import Texts, open_texts
from tinyclip.errors import UserError


@pytest.fixture(autouse=True)
def silence() -> None:
    notes.note.cache_clear()


def opened(file: Path, content: bytes | None = None, **settings: object) -> Texts:
    if content is not None:
        file.write_bytes(content)
    return open_texts(Data(texts=str(file), **settings))  # type: ignore[arg-type]


def refusal(named: object, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        open_texts(Data(texts=str(named), **settings))  # type: ignore[arg-type]
    return str(caught.value)


def test_each_line_is_a_text_without_the_space_around_it(tmp_path: Path) -> None:
    content = "\ufeffa cat\r\n  a dog \nÜbergröße, café\nthe last".encode()
    texts = opened(tmp_path / "x.txt", content)
    assert list(texts) == ["a cat", "a dog", "Übergröße, café", "the last"]
    assert (texts[1], texts[1:3], len(texts)) == ("a dog", list(texts)[1:3], 4)


def test_what_is_empty_or_there_already_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = opened(tmp_path / "x.txt", b"b\n\na\n \nb\nb \n")
    assert list(texts) == ["b", "a"]
    assert "left out 2 blank lines, 2 texts that are there already" in caplog.text


def test_what_is_measured_on_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "x.txt").write_text("a\nb\nc\n")
    texts = open_texts(Data(texts=str(tmp_path / "x.txt")), {"b", "z"})
    assert list(texts) == ["a", "c"]
    assert "left out 1 caption that is measured on" in caplog.text


def test_a_gzipped_file_is_read_as_what_was_packed(tmp_path: Path) -> None:
    packed = gzip.compress(b"a\nb\n") + gzip.compress(b"c\n")
    assert list(opened(tmp_path / "x.txt.gz", packed)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "content", [b"a\nb\n", gzip.compress(b"a" * 10_000, mtime=0)[:-9]]
)
def test_what_is_no_whole_gzip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    assert "is no whole gzip file" in refusal(tmp_path / "x.gz")


def test_what_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"a\nb\ncaf\xe9\n\xff\n")
    told = refusal(tmp_path / "x.txt")
    assert "line 3 is not UTF-8" in told
    assert told.endswith("Save the file as UTF-8")


def test_a_file_that_is_absent_or_none_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "x.txt")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "x.txt").write_bytes(b"\n\n")
    assert "holds no text that can be used" in refusal(tmp_path / "x.txt")


def test_too_long_texts_count_as_broken_captions_do(tmp_path: Path) -> None:
    lines = b"\n".join([b"%d" % i for i in range(98)] + [b"x" * 20_000])
    (tmp_path / "x.txt").write_bytes(lines)
    told = refusal(tmp_path / "x.txt")
    assert "1 of 99 texts cannot be used" in told
    assert "1 long caption; the first is text 99" in told
    texts = opened(tmp_path / "x.txt", max_broken_share=0.02)
    assert (len(texts), texts.dropped["long caption"]) == (98, 1)
    (tmp_path / "x.txt").write_bytes(b"x" * (2**20 + 1))
    assert "line 1 has more than 1048576 bytes" in refusal(tmp_path / "x.txt")


def test_of_a_table_the_usual_or_the_named_column_is_read(tmp_path: Path) -> None:
    table = tmp_path / "x.csv"
    table.write_text('id,caption,said\n1,"a, quoted",x\n2,b,y\n')
    assert list(open_texts(Data(texts=f"csv:{table}"))) == ["a, quoted", "b"]
    named = Data(texts=f"csv:{table}", texts_column="said")
    assert list(open_texts(named)) == ["x", "y"]
    (tmp_path / "x.tsv").write_text("caption\na,b\nc\n")
    assert list(open_texts(Data(texts=f"tsv:{tmp_path}/x.tsv"))) == ["a,b", "c"]


def test_a_column_that_is_not_there_is_refused_by_its_own_setting(
    tmp_path: Path,
) -> None:
    table = tmp_path / "x.csv"
    table.write_text("id,other\n1,2\n")
    assert "--set data.texts_column=NAME" in refusal(f"csv:{table}")
    told = refusal(f"csv:{table}", texts_column="othr")
    assert told.startswith("data.texts_column: ")
    assert "other" in told


def test_the_fingerprint_is_of_the_texts_in_their_order(tmp_path: Path) -> None:
    first = opened(tmp_path / "x.txt", b"a\nb\n").fingerprint()
    assert opened(tmp_path / "y.txt", b"a\n\nb \na\n").fingerprint() == first
    assert opened(tmp_path / "x.txt", b"b\na\n").fingerprint() != first
    assert opened(tmp_path / "x.txt", b"ab\n").fingerprint() != first
