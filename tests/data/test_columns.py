"""Rows of one picture come together as a plain loop would have it."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.data.broken import Dropped
from tinyclip.data.columns import (
    Column,
    excluded,
    gather,
    tidy_path,
    tidy_paths,
)

rows = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "c\ufffd", "x1", "x2"]),
        st.sampled_from([None, "", " ", "t", " t ", "u", "v\ufffd"]),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(rows, st.sampled_from([(), ("x*",), ("x1", "a")]))
def test_it_is_what_a_plain_loop_finds(rows, exclude) -> None:
    expected: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for key, text in rows:
        kind = None
        if not key:
            kind = "no path"
        elif "\ufffd" in key:
            kind = "invalid UTF-8"
        elif excluded(key, exclude):
            kind = "excluded"
        elif text is None:
            kind = "no caption"
        elif not text.strip():
            kind = "empty caption"
        elif "\ufffd" in text:
            kind = "invalid UTF-8"
        elif text.strip() in expected.setdefault(key, []):
            kind = "repeated"
        else:
            expected[key].append(text.strip())
        if kind:
            counts[kind] = counts.get(kind, 0) + 1
    dropped = Dropped()
    keys, texts = ([row[side] for row in rows] for side in (0, 1))
    gathered = gather(
        pa.array(keys, pa.large_string()),
        pa.array(texts, pa.large_string()),
        exclude,
        dropped,
    )
    assert dict(zip(gathered.keys, gathered.texts, strict=True)) == {
        key: tuple(texts) for key, texts in expected.items()
    }
    assert list(gathered.keys) == list(expected)
    assert dropped == counts


def test_rows_that_are_broken_are_named() -> None:
    dropped = Dropped()
    keys = pa.array(["a", "", "b"], pa.large_string())
    gather(keys, pa.array(["", "x", "y"], pa.large_string()), (), dropped)
    assert dropped.rows == {"row 2": ("no path", ""), "a": ("empty caption", "")}


@pytest.mark.parametrize(
    "path",
    [
        *("a.png", "./a.png", " a.png ", "d//a.png", "d/./a.png", "/d/a.png", "../a"),
        *("d/", "d/.", ".", "https://h.org//a.png", "", ".hidden/a", "a..b"),
    ],
)
def test_many_paths_are_tidied_as_one_is(path: str) -> None:
    array = pa.array([path, "other"], pa.large_string())
    assert tidy_paths(array).to_pylist() == [tidy_path(path), "other"]


def test_a_column_reads_like_a_tuple() -> None:
    column = Column(pa.chunked_array([[["a", "b"]], [["c"], []]]))
    assert len(column) == 3
    assert list(column) == [("a", "b"), ("c",), ()]
    assert (column[1], column[-1], column[1:]) == (("c",), (), [("c",), ()])
