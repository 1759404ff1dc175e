"""What braces, separators and globs stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyclip.data.shards import expand, find_shards, shard_labels
from tinyclip.errors import UserError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a", ["a"]),
        ("{0..2}", ["0", "1", "2"]),
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{000..002}", ["000", "001", "002"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{0..6..3}", ["0", "3", "6"]),
        ("{a,b}/{0..1}", ["a/0", "a/1", "b/0", "b/1"]),
        ("{a,{0..1}x}", ["a", "0x", "1x"]),
        ("x{a}", ["xa"]),
    ],
)
def test_braces_stand_for_names_as_in_bash(pattern: str, names: list[str]) -> None:
    assert list(expand("here", pattern)) == names


@pytest.mark.parametrize("pattern", ["{0..", "0..1}", "a{b,{c}"])
def test_a_lonely_brace_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="brace"):
        list(expand("here", pattern))


def test_a_slip_that_names_a_billion_files_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("tinyclip.data.shards.MOST", 99)
    with pytest.raises(UserError, match="more than 99 names"):
        list(expand("here", "{0..999999999}"))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a0.tar", "a1.tar", "b0.tar", "notes.md"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def files_of(patterns: str) -> list[str]:
    return [path.name for path in find_shards("here", patterns, ".tar")]


@pytest.mark.parametrize("separator", ["::", ","])
def test_several_patterns_come_in_the_order_written(files, separator) -> None:
    patterns = separator.join([f"{files}/b0.tar", f"{files}/a{{0,1}}.tar"])
    assert files_of(patterns) == ["b0.tar", "a0.tar", "a1.tar"]


def test_a_folder_stands_for_the_files_of_its_kind(files) -> None:
    assert files_of(str(files)) == ["a0.tar", "a1.tar", "b0.tar"]


def test_a_star_is_looked_up_on_disk(files) -> None:
    assert files_of(f"{files}/a*.tar") == ["a0.tar", "a1.tar"]


def test_missing_files_are_listed(files) -> None:
    with pytest.raises(UserError, match=r"2 of 4 files are not there(.|\n)*a2.tar"):
        files_of(f"{files}/a{{0..3}}.tar")


def test_a_file_named_twice_is_refused(files) -> None:
    with pytest.raises(UserError, match="names .*a0.tar twice"):
        files_of(f"{files}/a0.tar,{files}/a*.tar")


@pytest.mark.parametrize("patterns", ["", ",", "::"])
def test_nothing_named_is_refused(patterns: str) -> None:
    with pytest.raises(UserError, match="names no file"):
        files_of(patterns)


def test_labels_are_distinct_and_do_not_move() -> None:
    for home in ("/data", "/elsewhere/x"):
        paths = [Path(home) / "a" / "0.tar", Path(home) / "b" / "0.tar"]
        assert shard_labels(paths) == ["a/0", "b/0"]
