"""What is broken is counted by kind, named, and over a share the end of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tinyclip.data.broken import (
    CAPTION_LIMIT,
    NAMED,
    Broken,
    Dropped,
    check_caption,
    counts_by_kind,
    decode_caption,
    from_lines,
    skipped_of,
    table_of_kinds,
    to_lines,
    too_many_broken,
)
from tinyclip.errors import UserError
from tinyclip.pipeline.scheduler import _report_broken

MET = {"a": ("empty", "x"), "b": ("truncated", ""), "c": ("truncated", "y")}


def test_kinds_are_counted_the_most_frequent_first() -> None:
    assert list(counts_by_kind(MET).items()) == [("truncated", 2), ("empty", 1)]


def test_the_table_has_a_line_a_kind_with_the_first_row_of_it() -> None:
    assert table_of_kinds(counts_by_kind(MET), MET).split("\n") == [
        "        2  truncated  b",
        "        1  empty      a (x)",
    ]


def test_what_was_dropped_and_what_was_met_are_one_account() -> None:
    dropped = Dropped()
    dropped.add("no caption", "z", "why")
    dropped.add("no caption", count=2_000)
    dropped.add("excluded", count=7)
    dropped.add("empty", "a", "known before")
    counts, named = skipped_of(dropped, MET)
    assert counts == {"no caption": 2_001, "truncated": 2, "empty": 1}
    assert list(named) == ["z", "a", "b", "c"]
    assert named["a"] == ("empty", "known before")


def test_pairs_that_count_without_names_are_counted() -> None:
    assert skipped_of({"no caption": 3, "repeated": 1}, {})[0] == {"no caption": 3}


def test_skipped_rows_survive_their_file() -> None:
    rows = {'k"\n\u00e9': ("kind", 'de"tail\n'), **MET}
    assert from_lines(to_lines(rows)) == rows
    assert len(to_lines(rows).splitlines()) == 4


def test_names_are_limited_and_counts_are_not() -> None:
    dropped = Dropped()
    for i in range(NAMED + 5):
        dropped.add("empty", f"{i}")
    assert dropped == {"empty": NAMED + 5}
    assert len(dropped.rows) == NAMED


def test_rows_left_out_on_purpose_stop_nothing() -> None:
    dropped = Dropped()
    dropped.add("excluded", "a", count=99)
    dropped.add("repeated", "b", count=99)
    dropped.check("here", 1, 0.0)
    assert dropped.rows == {}


@pytest.mark.parametrize(("broken", "stops"), [(1, False), (2, True)])
def test_the_share_is_of_all_rows(broken: int, stops: bool) -> None:
    dropped = Dropped()
    dropped.add("empty", "k", count=broken)
    if stops:
        with pytest.raises(UserError, match="2 of 101 pictures are broken"):
            dropped.check("here", 99, 0.01)
    else:
        dropped.check("here", 99, 0.01)


def test_nothing_left_is_refused_whatever_the_share() -> None:
    dropped = Dropped()
    dropped.add("excluded", count=3)
    with pytest.raises(UserError, match="no row can be used: 3 excluded"):
        dropped.check("here", 0, 1.0)


def test_the_message_shows_ten_and_counts_the_rest() -> None:
    broken = {f"k{i}": ("empty", "") for i in range(12)}
    lines = str(too_many_broken("here", broken, 50, 0.1)).split("\n")
    assert "12 of 50" in lines[0]
    assert lines[1:11] == [f"  k{i}: empty" for i in range(10)]
    assert "and 2 more" in lines[11]
    assert len(lines) == 12


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty caption"),
        (" \n\u3000", "empty caption"),
        ("x" * (CAPTION_LIMIT + 1), "long caption"),
        ("a\ufffdb", "invalid UTF-8"),
        ("\ud800", "invalid UTF-8"),
    ],
)
def test_captions_that_are_none_have_a_kind(text: str, kind: str) -> None:
    with pytest.raises(Broken) as caught:
        check_caption(text)
    assert caught.value.kind == kind


def test_a_caption_at_the_limit_is_one_and_loses_the_space_around_it() -> None:
    assert check_caption(f" {'x' * CAPTION_LIMIT}\n") == "x" * CAPTION_LIMIT


def test_bytes_that_are_no_utf_8_say_where() -> None:
    assert decode_caption(b"\xef\xbb\xbfa\xc3\xa9") == "a\u00e9"
    with pytest.raises(Broken, match="byte 1 of"):
        decode_caption(b"a\xe9")


def test_a_run_s_log_ends_with_the_kinds_and_its_file_keeps_what_it_had(
    tmp_path, caplog
) -> None:
    dropped = Dropped()
    dropped.add("no caption", "z", "none", count=3)
    context = SimpleNamespace(
        folder=SimpleNamespace(path=tmp_path),
        train=SimpleNamespace(dropped=dropped),
        broken=lambda: MET,
        unpaired=SimpleNamespace(dropped=lambda of_pairs: of_pairs),
    )
    (tmp_path / "skipped.jsonl").write_bytes(to_lines({"before": ("empty", "old")}))
    _report_broken(context)
    assert "7 broken samples were skipped" in caplog.text
    assert "        3  no caption  z (none)" in caplog.text
    assert "        2  empty       before (old)" in caplog.text
    rows = from_lines((tmp_path / "skipped.jsonl").read_bytes())
    assert list(rows) == ["z", "before", "a", "b", "c"]


def test_a_run_without_broken_samples_writes_no_list(tmp_path, caplog) -> None:
    dropped = Dropped()
    dropped.add("excluded", count=3)
    context = SimpleNamespace(
        folder=SimpleNamespace(path=tmp_path),
        train=SimpleNamespace(dropped=dropped),
        broken=dict,
        unpaired=SimpleNamespace(dropped=lambda of_pairs: of_pairs),
    )
    _report_broken(context)
    assert list(tmp_path.iterdir()) == []
    assert not caplog.text
