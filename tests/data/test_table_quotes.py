"""Quotation marks in tables: what they hold, and those that quote nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_pairs


def opened(file: Path, **settings: object):
    return open_pairs(Data(source=f"csv:{file}", **settings))


def test_a_quoted_caption_may_hold_the_delimiter_and_lines(table) -> None:
    file = table()
    file.write_text('path,caption\n0.png,"a, b\nc"\n')
    assert opened(file).captions(0) == ("a, b\nc",)


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_mark_that_quotes_nothing_stands_for_itself(tmp_path, picture, kind) -> None:
    """`"green barn` would swallow the rows up to `"Dune"` or to the end of the file."""
    captions = ["a", '"green barn', "b, c", 'a book, "Dune"', "d", 'he said "yes"', "e"]
    captions = [text.replace(",", "") if kind == "csv" else text for text in captions]
    captions += ['"Emma" is one too', '12" wide', '"never closed']
    for i in range(len(captions)):
        (tmp_path / f"{i}.png").write_bytes(picture((i, 0, 0)))
    sep = {"csv": ",", "tsv": "\t"}[kind]
    rows = [f"{i}.png{sep}{text}" for i, text in enumerate(captions)]
    file = tmp_path / f"pairs.{kind}"
    file.write_text("\n".join([f"path{sep}caption", *rows]) + "\n")
    pairs = open_pairs(Data(source=f"{kind}:{file}"))
    assert [pairs.captions(i)[0] for i in range(len(pairs))] == captions
    assert pairs.dropped == {}


def test_marks_that_quote_nothing_are_told_with_the_first_line(table, caplog) -> None:
    file = table()
    file.write_text('path,caption\n0.png,"a\nb"\n1.png,"x\n2.png,"y\n')
    assert opened(file).captions(1) == ('"x',)
    assert "2 fields begin with a quotation mark" in caplog.text
    assert "the first is in line 4" in caplog.text


def test_one_such_mark_is_no_plural(table, caplog) -> None:
    file = table()
    file.write_text('path,caption\n0.png,a\n1.png,"x\n2.png,y\n')
    opened(file)
    assert "1 field begins with a quotation mark" in caplog.text


def test_rows_of_pictures_are_no_lines_of_a_caption(table) -> None:
    """The mark in row 0 is closed right at the end of row 2, as a quoted one is."""
    file = table()
    file.write_text('path,caption\n0.png,"a\n1.png,b\n2.png,of 24"\n3.png,d\n')
    pairs = opened(file)
    assert [pairs.captions(i)[0] for i in range(4)] == ['"a', "b", 'of 24"', "d"]


@pytest.mark.parametrize(
    ("header", "row", "caption"),
    [
        ("path,caption", '0.png,"see, photo.jpg\nfoo, bar.jpg"', None),
        ("path,caption", '0.png,"see\nfoo.jpg, a, b"', None),
        ("path,caption", '0.png,"see\n1.png, a, b\nand c"', None),
        ("path,caption", '0.png,"see\n1.png, a, b"', None),
        ("path,caption,more", '0.png,"a\nb","c\nd"', "a\nb"),
        ("caption,path", '"a, b.jpg\nc",0.png', "a, b.jpg\nc"),
        ("caption,path", '"a\nb\nc",0.png', "a\nb\nc"),
        ('"path","caption\n(English)"', '0.png,"a\nb, c"', "a\nb, c"),
        ("path;caption", '0.png;"a\nx.jpg, b; c; d"', None),
        ("path\tcaption", '0.png\t"a\nb\tc"', "a\nb\tc"),
    ],
)
def test_lines_without_the_fields_of_a_row_are_a_captions(
    table, header: str, row: str, caption: str | None
) -> None:
    file = table()
    file.write_text(f"{header}\n{row}\n")
    name = "caption\n(English)" if "English" in header else "caption"
    pairs = opened(file, caption_column=name)
    assert [pairs.key(i) for i in range(len(pairs))] == ["0.png"]
    assert pairs.captions(0) == (caption or row.split('"')[1],)
    assert pairs.dropped == {}


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("caption,path", ['"open,0.png', 'of 24",1.png', "c,2.png"]),
        ("path,caption,by", ['0.png,"open,me', '1.png,b",me', "2.png,c,me"]),
        ("path,caption,by", ["0.png,a,me", '1.png,"b,"m, e"', '2.png,c",me']),
        ("caption,path", [' "open,0.png', '"b,1.png', 'of 24",2.png']),
        ("path|caption", ['0.png|"open', "1.png|b, c", '2.png|"']),
    ],
)
def test_rows_of_pictures_are_rows_whatever_the_columns(table, header, rows) -> None:
    file = table()
    file.write_text("\n".join([header, *rows]) + "\n")
    pairs = opened(file)
    assert [pairs.key(i) for i in range(len(pairs))] == ["0.png", "1.png", "2.png"]


def test_a_path_without_suffix_is_known_by_its_file(table) -> None:
    file = table()
    for i in range(4):
        (file.parent / f"{i}").write_bytes((file.parent / f"{i}.png").read_bytes())
    file.write_text('path,caption\n0,"open\n1,x\n2,y"\n3,z\n')
    pairs = opened(file)
    assert [pairs.captions(i)[0] for i in range(4)] == ['"open', "x", 'y"', "z"]


def test_a_word_that_is_a_files_name_too_is_no_path_in_prose(table) -> None:
    file = table()
    (file.parent / "foo").write_bytes(b"")
    file.write_text('path,caption\n0.png,"see, photo.jpg\nfoo, bar.jpg"\n')
    assert opened(file).captions(0) == ("see, photo.jpg\nfoo, bar.jpg",)


def test_captions_of_several_lines_are_told_with_the_first_line(table, caplog) -> None:
    file = table()
    rows = ['0.png,"open\n91,x\n92,y"', "1.png,z", '2.png,"a\nb"']
    file.write_text("\n".join(["path,caption", *rows]) + "\n")
    assert len(opened(file)) == 3
    assert "2 captions span several lines; the first is in line 2" in caplog.text
    assert "the longest of 3 lines in line 2" in caplog.text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(table, caplog, end: str) -> None:
    file = table()
    rows = ["path,caption", "0.png,a", '1.png,"b', "2.png,c", '0.png,"d', 'e"', "x,y,z"]
    file.write_text(end.join([*rows, ""]), newline="")
    pairs = opened(file, max_broken_share=0.5)
    assert (
        "quotes nothing; what stands there is read as it is; the first is in line 3"
        in (caplog.text)
    )
    assert "1 caption spans several lines; the first is in line 5" in caplog.text
    assert list(pairs.dropped.rows) == ["line 7"]


def test_a_bad_row_of_several_lines_is_named_by_its_own(table) -> None:
    file = table()
    rows = ['0.png,"a\nb"', '1.png,"c\nd",e', "2.png,f"]
    file.write_text("\n".join(["path,caption", *rows]) + "\n")
    assert list(opened(file, max_broken_share=0.6).dropped.rows) == ["line 4"]


def test_delimiters_in_quoted_names_separate_nothing(table) -> None:
    file = table()
    file.write_text('path;caption;"size (w, h, in px)"\n0.png;a;"1, 2"\n')
    assert opened(file).captions(0) == ("a",)


def test_quoted_fields_are_read_as_python_reads_them(table) -> None:
    """Reference: the csv module of Python's library."""
    import csv

    file = table()
    rows = [["path", "caption"], ["0.png", 'a "b", c'], ["1.png", "d\n\ne, f\ng,h"]]
    rows += [["2.png", '"'], ["3.png", '""x"" ,']]
    with file.open("w", newline="") as out:
        csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    pairs = opened(file)
    assert [pairs.captions(i)[0] for i in range(4)] == [text for _, text in rows[1:]]
