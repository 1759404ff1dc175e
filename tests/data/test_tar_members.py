"""Members of a tar are those that `tarfile` finds, and a torn one says so."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyclip.data.broken import Broken
from tinyclip.data.tar_members import read_members
from tinyclip.errors import UserError

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def listed(path: Path) -> list[tuple[str, bytes]]:
    return [
        (member.name, content[member.offset : member.offset + member.size])
        for member, content in read_members(path)
    ]


def torn(path: Path) -> str:
    with pytest.raises(Broken) as caught:
        listed(path)
    assert caught.value.kind == "torn tar"
    return caught.value.detail


names = st.text(st.characters(blacklist_characters="\0/", codec="utf-8"), min_size=1)
members = st.lists(
    st.tuples(names.filter(lambda n: n not in (".", "..")), st.binary(max_size=1200)),
    max_size=5,
)


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(members, st.sampled_from(FORMATS[1:]))
def test_members_are_those_of_tarfile(make_tar, tmp_path, members, kind) -> None:
    path = make_tar(tmp_path / "x.tar", members, format=kind)
    with tarfile.open(path) as tar:
        expected = [(m.name, tar.extractfile(m).read()) for m in tar]
    assert listed(path) == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_a_long_path_is_whole(make_tar, tmp_path, kind) -> None:
    name = "/".join(["folder" * 5] * 6) + "/a.jpg"
    path = make_tar(tmp_path / "x.tar", [(name, b"1"), ("b.jpg", b"2")], format=kind)
    assert listed(path) == [(name, b"1"), ("b.jpg", b"2")]


def test_folders_and_links_are_no_members(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
            about = tarfile.TarInfo(f"n{kind.decode()}")
            about.type, about.linkname = kind, "a.txt"
            tar.addfile(about)
        about = tarfile.TarInfo("a.txt")
        about.size = 1
        tar.addfile(about, BytesIO(b"x"))
    assert listed(tmp_path / "x.tar") == [("a.txt", b"x")]


def test_a_tar_without_members_is_whole(make_tar, tmp_path: Path) -> None:
    assert listed(make_tar(tmp_path / "x.tar", [])) == []


def test_a_tar_cut_anywhere_is_torn_and_what_came_before_is_right(
    make_tar, tmp_path: Path
) -> None:
    members = [(f"{i}.txt", bytes([i]) * 700) for i in range(4)]
    path = make_tar(tmp_path / "x.tar", members)
    whole = path.read_bytes()
    for length in range(0, 4 * 1536 + 512, 128):
        path.write_bytes(whole[:length])
        seen = []
        with pytest.raises(Broken, match="torn tar"):
            for member, content in read_members(path):
                end = member.offset + member.size
                seen.append((member.name, content[member.offset : end]))
        assert seen == members[: len(seen)]
        assert len(seen) == min((length + 1536 - 512 - 700) // 1536, 4)


def test_a_damaged_header_is_noticed(make_tar, tmp_path: Path) -> None:
    """`tarfile` stops there without a word."""
    path = make_tar(tmp_path / "x.tar", [("a", b"x"), ("b", b"y"), ("c", b"z")])
    content = bytearray(path.read_bytes())
    content[1024 + 3] ^= 4  # the name of b
    path.write_bytes(content)
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["a"]
    assert "byte 1024 is damaged" in torn(path)


def test_a_hole_of_zeros_is_no_end(make_tar, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar", [("a", b"x"), ("b", b"y"), ("c", b"z")])
    content = bytearray(path.read_bytes())
    content[1024:2048] = bytes(1024)
    path.write_bytes(content)
    assert "more data follows" in torn(path)


def test_a_file_that_was_only_laid_out_is_torn(make_tar, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar", [("a", b"x")])
    path.write_bytes(path.read_bytes() + bytes(3 * 2**20))
    assert "bytes follow its end" in torn(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x07" * 2000])
def test_what_is_no_tar_is_torn(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    assert torn(tmp_path / "x.tar")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_refused(tmp_path: Path, kind: str) -> None:
    with tarfile.open(tmp_path / "x.tar", f"w:{kind}"):
        pass
    with pytest.raises(UserError, match="is compressed"):
        listed(tmp_path / "x.tar")
