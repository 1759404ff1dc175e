"""Files of others are read in bounded steps, and only regular ones."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tinyclip.bounded import DEPTH, gunzip, json_value, read_bytes, read_settings
from tinyclip.errors import UserError


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"


def test_a_file_of_more_bytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)  # a hole
    with pytest.raises(OSError) as caught:
        read_bytes(tmp_path / "a", 4)
    assert caught.value.strerror == f"{2**40} bytes; 4 at most"


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device"])
def test_a_pipe_or_a_device_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero")
    if kind != "device":
        path = tmp_path / "a"
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(OSError) as caught:
        read_bytes(path)
    assert "no regular file" in str(caught.value.strerror)


def test_a_folder_is_told_as_the_system_tells_it(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


def test_gzip_of_several_streams_is_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(b"ab") + gzip.compress(b"cd") + bytes(8)
    assert gunzip(packed, 4) == b"abcd"


@pytest.mark.parametrize("size", [5, 2**27])
def test_gzip_of_too_many_bytes_is_left(size: int) -> None:
    with pytest.raises(ValueError, match="more than 4 bytes"):
        gunzip(gzip.compress(bytes(size), 1), 4)


@pytest.mark.parametrize(
    "content", [b"x", gzip.compress(b"abc", mtime=0)[:-3], b"\x1f\x8b"]
)
def test_damaged_gzip_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="gzip"):
        gunzip(content, 100)


def test_json_is_read_as_deep_as_settings_go() -> None:
    deep = b"[" * DEPTH + b"]" * DEPTH
    assert json_value(b'{"a": 1}') == {"a": 1}
    assert json_value(deep)
    for more in (b"[" + deep + b"]", b"[" * 10**5):
        with pytest.raises(ValueError, match="nested|Expecting"):
            json_value(more)


@pytest.mark.parametrize("content", [b"[]", b"null", b"{", b"\xff", b'{"a":' * 10**5])
def test_what_is_no_object_is_one_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_settings(tmp_path / "a.json", "Copy it again")
    assert (caught.value.where, caught.value.todo) == (
        str(tmp_path / "a.json"),
        "Copy it again",
    )
