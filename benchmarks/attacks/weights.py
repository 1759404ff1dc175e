"""Files of weights: safetensors, and the archives that torch writes."""

from __future__ import annotations

import json
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from tinyclip.formats.tensors import read_tensors

from .families import SEED, Attack, family

Content = Callable[[], bytes]
MOST = 2**28  # bytes that the caller expects at most, as a model's shape tells it


def read(name: str, folder: Path) -> str:
    read_tensors(folder / name, MOST)
    return ""


def write(name: str, content: Content, folder: Path) -> None:
    (folder / name).write_bytes(content())


def stored(header: Any, data: bytes = bytes(64), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: object = "F32", shape: object = (4, 4), at: object = (0, 64)) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": at}


HEADERS = {
    "offsets that are negative": {"a": entry(at=[-64, 0])},
    "offsets that go back": {"a": entry(at=[64, 0])},
    "offsets beyond the end": {"a": entry(at=[0, 2**40])},
    "offsets beyond 64 bits": {"a": entry(at=[0, 2**70])},
    "offsets of text": {"a": entry(at=["0", "64"])},
    "no offsets": {"a": {"dtype": "F32", "shape": [4, 4]}},
    "a hole": {"a": entry(shape=[2], at=[56, 64])},
    "two on one place": {"a": entry(), "b": entry()},
    "a shape of other bytes": {"a": entry(shape=[5, 5])},
    "a shape beyond 64 bits": {"a": entry(shape=[2**33, 2**33])},
    "a negative shape": {"a": entry(shape=[-4, -4])},
    "a shape of floats": {"a": entry(shape=[4.0, 4.0])},
    "a type that is unknown": {"a": entry(dtype="F128")},
    "a type of null": {"a": entry(dtype=None)},
    "no tensors": {},
    "a list": [],
    "null": None,
    "a number": 5,
    "nested brackets": b'{"a":' + b"[" * 100_000,
    "no JSON": b"{" + b"x" * 99,
    "no UTF-8": b'{"\xff\xfe": 1}',
    "a hundred thousand names": {
        f"n{i}": entry(shape=[0], at=[0, 0]) for i in range(10**5)
    },
}
LENGTHS = (0, 1, 10**8, 2**31, 2**63, 2**64 - 1)


@family("safetensors")
def safetensors() -> Iterator[Attack]:
    """Headers that lie, files that are cut, torn or full of holes."""
    whole = partial(stored, {"a": entry()})
    reading = partial(read, "w.safetensors")
    for name, header in HEADERS.items():
        content = partial(stored, header)
        harmless = name == "a hundred thousand names"
        if harmless:
            content = partial(stored, header, b"")
        yield Attack(name, partial(write, "w.safetensors", content), reading, harmless)
    for length in LENGTHS:
        content = partial(stored, {"a": entry()}, length=length)
        yield Attack(
            f"a header of {length}", partial(write, "w.safetensors", content), reading
        )
    for cut in (0, 1, 7, 8, 9, 30, 60, 100):
        content = partial(lambda cut: whole()[:cut], cut)
        yield Attack(f"cut at {cut}", partial(write, "w.safetensors", content), reading)
    for seed in range(20):
        content = partial(flipped, whole, seed)
        yield Attack(
            f"flipped {seed}", partial(write, "w.safetensors", content), reading, True
        )
    for name in ("w.safetensors", "w.bin"):
        for size in (2**33, 2**40):
            yield Attack(
                f"{name} with a hole of {size}",
                partial(holed, name, size),
                partial(read, name),
            )
        yield Attack(
            f"{name} is a pipe",
            lambda folder, name=name: os.mkfifo(folder / name),
            partial(read, name),
        )
        yield Attack(
            f"{name} is a device",
            lambda folder, name=name: (folder / name).symlink_to("/dev/zero"),
            partial(read, name),
        )


def holed(name: str, size: int, folder: Path) -> None:
    header = {"a": entry(shape=[size // 4], at=[0, size])}
    with (folder / name).open("wb") as file:
        file.write(stored(header, b""))
        file.truncate(file.tell() + size)


def flipped(content: Content, seed: int) -> bytes:
    changed, draw = bytearray(content()), random.Random(SEED + seed)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


@cache
def archive() -> bytes:
    content = BytesIO()
    torch.save({"a": torch.zeros(4, 4), "b": torch.ones(2**14)}, content)
    return content.getvalue()


def repacked(change: Callable[[str, bytes], bytes], kind: int) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(BytesIO(archive())) as old:
        with zipfile.ZipFile(content, "w", kind) as new:
            for name in old.namelist():
                new.writestr(name, change(name, old.read(name)))
    return content.getvalue()


def bomb(name: str, content: bytes) -> bytes:
    return bytes(2**30) if name.endswith("data/0") else content


def program(words: bytes, name: str, content: bytes) -> bytes:
    return words if name.endswith("data.pkl") else content


def as_is(name: str, content: bytes) -> bytes:
    return content


PICKLES = {
    "os.system": b"cos\nsystem\n(S'true'\ntR.",
    "a class by its name": b"\x80\x02cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
    "nothing": b"",
    "no end": b"\x80\x02}q\x00",
    "an empty stack": b"\x80\x02.",
    "a memo that is not there": b"\x80\x02h\x05.",
    "marks without end": b"\x80\x02" + b"(" * 100_000 + b".",
    "lists in lists": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "a number of a megabyte": b"\x80\x02\x8b"
    + struct.pack("<i", 2**20)
    + bytes(2**20)
    + b".",
    "a number of no bytes": b"\x80\x02\x8b" + struct.pack("<i", -5) + b".",
    "a text of gigabytes": b"\x80\x02X" + struct.pack("<I", 2**31) + b"x.",
    "a dictionary alone": b"\x80\x02}.",
    "a number": b"\x80\x02K\x05.",
    "None": b"\x80\x02N.",
    "a protocol from tomorrow": b"\x80\xff}.",
}


@family("zip")
def archives() -> Iterator[Attack]:
    """torch's archives: packed, lying, cut; and pickles that are more than tensors."""
    reading = partial(read, "w.pt")
    contents: dict[str, Content] = {
        "packed": partial(repacked, as_is, zipfile.ZIP_DEFLATED),
        "a gigabyte, packed": partial(repacked, bomb, zipfile.ZIP_DEFLATED),
        "a gigabyte, packed by bzip2": partial(repacked, bomb, zipfile.ZIP_BZIP2),
        "a gigabyte, packed by lzma": partial(repacked, bomb, zipfile.ZIP_LZMA),
        "no archive": lambda: b"PK\3\4" + bytes(100),
        "an empty archive": lambda: b"PK\5\6" + bytes(18),
    }
    for name, words in PICKLES.items():
        contents[f"archive of {name}"] = partial(
            repacked, partial(program, words), zipfile.ZIP_STORED
        )
        contents[f"pickle of {name}"] = partial(bytes, words)
    for name, content in contents.items():
        yield Attack(name, partial(write, "w.pt", content), reading)
    for cut in range(12):
        content = partial(lambda cut: archive()[: len(archive()) * cut // 12], cut)
        yield Attack(f"cut {cut}", partial(write, "w.pt", content), reading)
    for seed in range(20):
        content = partial(flipped, archive, seed)
        yield Attack(f"flipped {seed}", partial(write, "w.pt", content), reading, True)
