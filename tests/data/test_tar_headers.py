"""Whatever the headers of a tar say, reading ends, and says what is wrong."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tinyclip.data.broken import Broken
from tinyclip.data.tar_headers import LONGEST, MOST, number
from tinyclip.data.tar_index import scan
from tinyclip.data.tar_members import read_members

END = bytes(1024)


def head(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157] = name, size, kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def octal(size: int) -> bytes:
    return b"%011o\0" % size


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    words = b"".join(records)
    return head(b"pax", octal(len(words)), kind) + words + bytes(-len(words) % 512)


def listed(path: Path) -> list[tuple[str, bytes]]:
    return [(m.name, c[m.offset : m.offset + m.size]) for m, c in read_members(path)]


def torn(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Broken) as caught:
        listed(path)
    return caught.value.detail


@pytest.mark.parametrize(
    "size", [b"-0000001000\0", b"-00000001000", b"\xff" * 10 + b"\xfe\0", b"\xff" * 12]
)
@pytest.mark.parametrize("before", [b"", head(b"ok.txt", octal(0))])
def test_a_negative_size_is_a_damaged_header(tmp_path: Path, size, before) -> None:
    assert "states no size" in torn(
        tmp_path / "x.tar", before + head(b"a.png", size) + END
    )


@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"S", b"V"])
def test_a_size_beyond_the_file_is_torn(tmp_path: Path, kind: bytes) -> None:
    huge = b"\x80" + bytes(3) + b"\xff" * 8
    assert torn(tmp_path / "x.tar", head(b"a.png", huge, kind) + END)


def test_a_size_of_pax_that_is_no_number_is_torn(tmp_path: Path) -> None:
    for value in (b"-512", b"1e3", b"9" * 40):
        record = b" size=%s\n" % value
        record = b"%d" % (len(record) + 2) + record
        content = pax(record) + head(b"a.png", octal(0)) + END
        assert "state no size" in torn(tmp_path / "x.tar", content)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_extended_headers_without_end_are_refused(tmp_path: Path, kind: bytes) -> None:
    content = pax(b"10 a=bcde\n", kind=kind) * 3000 + END
    told = f"{MOST} extended headers in a row"
    assert told in torn(tmp_path / "x.tar", content)


def test_an_extended_header_of_megabytes_is_refused(tmp_path: Path) -> None:
    content = head(b"pax", octal(LONGEST + 1), b"x") + bytes(2 * LONGEST) + END
    assert "the limit is" in torn(tmp_path / "x.tar", content)


@pytest.mark.parametrize(
    "words", [b"0 a=b\n", b"99 a=b\n", b"6 ab\n..", b"-6 a=b\n", b"6 =ab\n", b"no"]
)
def test_records_of_other_lengths_are_damaged(tmp_path: Path, words: bytes) -> None:
    content = pax(words) + head(b"a.png", octal(0)) + END
    assert "records at byte 0 are damaged" in torn(tmp_path / "x.tar", content)


def test_an_extended_header_with_nothing_behind_it_is_torn(tmp_path: Path) -> None:
    assert "is damaged" in torn(tmp_path / "x.tar", pax(b"10 a=bcde\n") + END)


def test_of_two_names_the_first_counts_as_in_tarfile(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    member = head(b"own", octal(1)) + b"!".ljust(512, b"\0")
    long = head(b"@LongLink", octal(5), b"L") + b"long\0".ljust(512, b"\0")
    first, second = pax(b"14 path=first\n"), pax(b"15 path=second\n")
    shared = pax(b"15 path=shared\n", kind=b"g")
    for before in (long + first, first + long, first + second, shared, shared + first):
        path.write_bytes(before + member + END)
        with tarfile.open(path) as tar:
            assert listed(path) == [(tar.getnames()[0], b"!")]


def test_sizes_in_base_256_are_those_of_tarfile(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    size = tarfile.itn(600, 12, tarfile.GNU_FORMAT)
    base = b"\x80" + (600).to_bytes(11, "big")
    for field in (size, base):
        path.write_bytes(head(b"a.png", field) + b"1".ljust(1024, b"\0") + END)
        with tarfile.open(path) as tar:
            assert tar.getmembers()[0].size == number(field) == 600
        assert [len(content) for _, content in listed(path)] == [600]


def test_twelve_digits_are_a_size(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        head(b"a.png", b"000000000010") + b"12345678".ljust(512, b"\0") + END
    )
    assert listed(path) == [("a.png", b"12345678")]


def test_a_sparse_picture_is_counted_and_what_follows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    old = bytearray(head(b"a.png", octal(512), b"S"))
    old[482] = 1  # a block of the map follows
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    text = head(b"b.txt", octal(1)) + b"b".ljust(512, b"\0")
    path.write_bytes(bytes(old) + bytes(512) + b"x" * 512 + text + END)
    assert [name for name, _ in listed(path)] == ["a.png", "b.txt"]
    index = scan(path, None)
    assert index.dropped["unreadable"] == 1 and not index.torn


def test_fields_nested_too_deeply_are_bad_json(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    deep = b'{"caption": ' + b"[" * 900 + b"]" * 900 + b"}"
    with tarfile.open(path, "w") as tar:
        for name, content in (("a.png", b"x"), ("a.json", deep)):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, BytesIO(content))
    assert scan(path, None).dropped["bad JSON"] == 1
