"""Quotation marks in tables: any text comes back, and no row goes missing."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tinyclip.data.quotes import Rows, mended

MARKS = [*"\"'ab ,;\t\n", "a.png", "\r\n"]
texts = st.lists(st.sampled_from(MARKS), max_size=12).map("".join)
lines = st.text(st.sampled_from("\"ab '."), min_size=1, max_size=10)
often = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read(file: Path, delimiter: str) -> list[list[str]]:
    """The rows of a table, as pandas has them after it was mended."""
    content = mended(file, delimiter, Rows(2, 0, file.parent)).content
    if isinstance(content, BytesIO):
        content.seek(0)
    table = pd.read_csv(
        content,
        sep=delimiter,
        dtype=str,
        na_filter=False,
        header=None,
        skip_blank_lines=False,
    )
    return table.to_numpy().tolist()


def row_like(text: str, delimiter: str) -> bool:
    """Whether a line of a text, its first one aside, reads like a row of a picture."""
    lines = text.replace("\r\n", "\n").split("\n")[1:]
    return any(".png" + delimiter in line.replace('"', "") for line in lines)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@often
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_what_python_writes_is_read_back(tmp_path, delimiter, rows) -> None:
    """Reference: the csv module of Python's library, every field quoted."""
    file = tmp_path / "x.csv"
    written = StringIO()
    quoted = csv.writer(
        written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n"
    )
    quoted.writerows(rows)
    assume(not any(row_like(text, delimiter) for row in rows for text in row))
    file.write_text(written.getvalue(), newline="")
    assert read(file, delimiter) == [list(row) for row in rows]


def literal(text: str) -> bool:
    """Whether nobody would take a field for a quoted one."""
    return not (text.startswith('"') and text.rstrip(" ").endswith('"')) or text == '"'


@often
@given(captions=st.lists(lines.filter(literal), min_size=1, max_size=8))
def test_no_row_with_marks_goes_missing(tmp_path, captions) -> None:
    """Lines of a path and a text without delimiters, as people write them by hand."""
    file = tmp_path / "x.csv"
    file.write_text("".join(f"{i}.png,{text}\n" for i, text in enumerate(captions)))
    assert read(file, ",") == [[f"{i}.png", text] for i, text in enumerate(captions)]
