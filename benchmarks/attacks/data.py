"""Tars and parquet files, read as pairs: every picture of them, too."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tinyclip.config.schema import Data
from tinyclip.data.broken import Broken
from tinyclip.data.pairs import open_pairs

from .families import SEED, Attack, family

END = bytes(1024)
ROWS = 60


@cache
def png() -> bytes:
    content = BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(content, "PNG")
    return content.getvalue()


def pairs(scheme: str, name: str, folder: Path) -> str:
    """Open a source and look at every picture; says how many are broken."""
    source = open_pairs(Data(source=f"{scheme}:{folder / name}", max_broken_share=0.9))
    broken = 0
    for row in range(min(len(source), 500)):
        try:
            source.image(row)
        except Broken:
            broken += 1
    broken += sum(source.dropped.values())
    return f"{broken} broken" if broken else ""


def head(name: bytes, size: bytes, kind: bytes = b"0", **at: bytes) -> bytes:
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157] = name, size, kind
    block[257:265] = b"ustar\x0000"
    for place, content in at.items():
        start = int(place[1:])
        block[start : start + len(content)] = content
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: bytes, content: bytes, kind: bytes = b"0") -> bytes:
    padded = content + bytes(-len(content) % 512)
    return head(name, b"%011o\0" % len(content), kind) + padded


def sample(number: int) -> bytes:
    stem = b"%03d" % number
    return member(stem + b".png", png()) + member(stem + b".txt", b"a red square")


WHOLE = b"".join(sample(number) for number in range(4))
SIZES = {
    "-512 octal": b"-0000001000\0",
    "-1 octal": b"-0000000001\0",
    "-512 in base 256": b"\xff" * 10 + b"\xfe\0",
    "2**80 in base 256": b"\x80" + b"\xff" * 11,
    "8 GiB octal": b"77777777777\0",
    "letters": b"abcdefghijk\0",
    "hexadecimal": b"0x000000010\0",
    "a float": b"1.5e3\0\0\0\0\0\0\0",
    "-2**88": b"\xc0" + bytes(11),
}
KINDS = {
    "plain": b"0",
    "old": b"\0",
    "contiguous": b"7",
    "sparse": b"S",
    "link": b"1",
    "symlink": b"2",
    "device": b"3",
    "block": b"4",
    "folder": b"5",
    "fifo": b"6",
    "pax": b"x",
    "global": b"g",
    "long name": b"L",
    "unknown": b"Z",
}
RECORDS = {
    "a negative length": b"-9 a=b\n",
    "no length": b"a=b\n",
    "length 0": b"0 a=b\n",
    "length beyond": b"999 a=b\n",
    "no equals": b"6 abc\n",
    "size -512": b"13 size=-512\n",
    "size 10**40": b"51 size=1" + b"0" * 40 + b"\n\n",
    "a path of a megabyte": b"1000010 path=" + b"a" * 999_996 + b"\n",
    "digits by the thousand": b"9" * 5000 + b" a=b\n",
}


@family("tar")
def tars() -> Iterator[Attack]:
    """Headers that lie, in front of samples, between and behind them."""

    def attack(name: str, content: bytes, harmless: bool = False) -> Attack:
        return Attack(
            name,
            lambda folder: (folder / "x.tar").write_bytes(content),
            partial(pairs, "tars", "x.tar"),
            harmless,
        )

    for size_name, size in SIZES.items():
        for kind_name, kind in KINDS.items():
            content = WHOLE + head(b"a.png", size, kind) + sample(9) + END
            # of those without data no size matters
            bare = kind in (b"1", b"2", b"3", b"4", b"5", b"6")
            yield attack(f"{kind_name} of size {size_name}", content, bare)
    for name, words in RECORDS.items():
        for kind in (b"x", b"g"):
            content = member(b"p", words, kind) + WHOLE + END
            yield attack(f"{kind.decode()}: {name}", content, name.startswith("a path"))
    for count in (33, 3_000, 20_000):
        for kind in (b"x", b"g", b"L", b"K", b"X"):
            record = member(b"p", b"10 a=bcde\n", kind)
            yield attack(f"{count} of {kind.decode()}", record * count + WHOLE + END)
    draw = random.Random(SEED)
    for number in range(40):
        content = bytearray(WHOLE + END)
        for _ in range(1 + number % 3):
            content[
                draw.randrange(len(content) // 512) * 512 + draw.randrange(512)
            ] ^= 1 << draw.randrange(8)
        # a bit of a picture or of padding is nobody's fault
        yield attack(f"flipped {number}", bytes(content), harmless=True)
    for number in range(12):
        yield attack(f"cut {number}", WHOLE[: draw.randrange(1, len(WHOLE))])


def written(columns: dict[str, Any], folder: Path) -> None:
    pq.write_table(pa.table(columns), folder / "x.parquet")


def repeated(value: object, count: int, kind: pa.DataType) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array([0], pa.int32()).take(pa.array([0] * count)), pa.array([value], kind)
    )


WRONG_KINDS: dict[str, tuple[object, pa.DataType]] = {
    "int64": (2**33, pa.int64()),
    "float": (1.5, pa.float64()),
    "text": ("x", pa.string()),
    "list": ([300], pa.list_(pa.int64())),
    "fields": ({"a": 1}, pa.struct([("a", pa.int64())])),
    "null": (None, pa.null()),
    "bool": (True, pa.bool_()),
    "time": (5, pa.timestamp("ns")),
}


@family("parquet")
def parquets() -> Iterator[Attack]:
    """Columns of other kinds, values that swell, damaged files."""
    read = partial(pairs, "parquet", "x.parquet")
    captions, images = ["a red square"] * ROWS, [png()] * ROWS
    for name, (value, kind) in WRONG_KINDS.items():
        inner = pa.array([{"bytes": value}] * ROWS, pa.struct([("bytes", kind)]))
        plain = pa.array([value] * ROWS, kind)
        for where, columns in (
            ("bytes", {"image": inner, "caption": captions}),
            ("image", {"image": plain, "caption": captions}),
            ("caption", {"image": images, "caption": plain}),
        ):
            if (where, name) != ("caption", "text"):
                yield Attack(f"{where} of {name}", partial(written, columns), read)
    text, data = pa.string(), pa.binary()
    swollen = {
        "a million rows": {
            "image": repeated(png(), 10**6, data),
            "caption": repeated("a b", 10**6, text),
        },
        "captions of terabytes": {
            "image": images * 200,
            "caption": repeated("x" * 2**20, ROWS * 200, text),
        },
        "paths of terabytes": {
            "image": repeated("x" * 2**20, ROWS * 200, text),
            "caption": captions * 200,
        },
    }
    for name, columns in swollen.items():
        yield Attack(name, partial(written, columns), read)
    once = {"image": repeated(png() + bytes(2**20), 5_000, data)}
    once["caption"] = ["a red square"] * 5_000
    yield Attack("pictures of gigabytes", partial(written, once), read, harmless=True)
    yield from damaged(partial(written, {"image": images, "caption": captions}), read)


def damaged(
    write: Callable[[Path], None], read: Callable[[Path], str]
) -> Iterator[Attack]:
    """Cuts and flipped bits of a whole file, and another length of its footer."""

    def change(seed: int, cut: bool, folder: Path) -> None:
        write(folder)
        path, draw = folder / "x.parquet", random.Random(seed)
        content = bytearray(path.read_bytes())
        if cut:
            content = content[: draw.randrange(len(content))]
        else:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)

    def footer(length: int, folder: Path) -> None:
        write(folder)
        content = bytearray((folder / "x.parquet").read_bytes())
        content[-8:-4] = struct.pack("<I", length)
        (folder / "x.parquet").write_bytes(content)

    for seed in range(10):
        yield Attack(f"cut {seed}", partial(change, seed, True), read)
    for seed in range(30):
        # what no checksum covers, the words of a statistic, say, is nobody's fault
        yield Attack(f"flipped {seed}", partial(change, seed, False), read, True)
    for length in (0, 1, 2**31 - 1, 2**32 - 1):
        yield Attack(f"a footer of {length}", partial(footer, length), read)
