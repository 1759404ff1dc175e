"""Damaged tars, parquets and tables end in `Broken`, `UserError` or what is right."""

from __future__ import annotations

import csv
import json
import random
import tarfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tinyclip.config.schema import Data
from tinyclip.data.broken import Broken, counts_by_kind
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_pairs
from tinyclip.errors import UserError


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


NO_PICTURES = (b"", b"\0", bytes(4096), b"hello", b"<html>404", b"%PDF-1.7", b"%!PS")


COLOURS = {f"colour {i}": (i, 2 * i, 7) for i in range(8)}


def members() -> Iterator[tuple[str, bytes]]:
    for i, (text, colour) in enumerate(COLOURS.items()):
        yield f"{i}.png", saved(Image.new("RGB", (4, 4), colour), "PNG")
        if i % 2:
            yield f"{i}.txt", text.encode()
        else:
            yield f"{i}.json", json.dumps({"caption": text}).encode()


def tar_bytes() -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, BytesIO(content))
    return buffer.getvalue()


def parquet_bytes(**options: object) -> bytes:
    pictures = [content for name, content in members() if name.endswith("png")]
    table = pa.table({"image": pictures, "caption": list(COLOURS)})
    buffer = BytesIO()
    pq.write_table(table, buffer, row_group_size=3, **options)
    return buffer.getvalue()


def csv_bytes() -> bytes:
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(["path", "caption"])
    rows.writerows([f"{i}.png", text] for i, text in enumerate(COLOURS))
    return text.getvalue().encode()


SOURCES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "tars": ("x.tar", tar_bytes),
    "parquet": ("x.parquet", lambda: parquet_bytes(write_page_checksum=True)),
    "csv": ("x.csv", csv_bytes),
}


def examine(scheme: str, path: Path) -> Counter[str]:
    """Open a source and look at every row: no row may show another one's picture.

    A caption that damage made (a letter flipped) names no colour, and so says nothing;
    in a CSV nothing shows that a path became another one, so there the path decides.
    """
    seen: Counter[str] = Counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pairs = open_pairs(Data(source=f"{scheme}:{path}", max_broken_share=0.99))
    except UserError as error:
        assert str(path.parent) in str(error)
        assert "\n  File " not in str(error)
        return Counter({"refused": 1})
    seen.update(pairs.dropped)
    for row in range(len(pairs)):
        caption = pairs.captions(row)[0]
        if scheme == "csv":
            caption = f"colour {Path(pairs.key(row)).stem}"
        try:
            colour = pairs.image(row).getpixel((0, 0))
        except Broken as broken:
            seen[broken.kind] += 1
            continue
        assert COLOURS.get(caption, colour) == colour
        seen["right" if caption in COLOURS else "other caption"] += 1
    pairs.fingerprint()
    return seen


def placed(tmp_path: Path, scheme: str, content: bytes) -> Path:
    """A damaged file, and the pictures that a CSV names."""
    name, _ = SOURCES[scheme]
    if not (tmp_path / "0.png").exists():
        for member, picture in members():
            (tmp_path / member).write_bytes(picture)
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize("scheme", SOURCES)
def test_a_whole_source_is_right(tmp_path: Path, scheme: str) -> None:
    path = placed(tmp_path, scheme, SOURCES[scheme][1]())
    assert examine(scheme, path) == {"right": 8}


@pytest.mark.parametrize("scheme", SOURCES)
def test_a_cut_source_is_refused_or_right(tmp_path: Path, scheme: str) -> None:
    """40 lengths; a tar and a parquet are never whole, so that all is said."""
    content = SOURCES[scheme][1]()
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        if scheme == "tars" and length >= 16 * 1024 + 512:
            continue  # all members and a mark of the end: nothing is missing
        seen = examine(scheme, placed(tmp_path, scheme, content[:length]))
        assert scheme == "csv" or seen["refused"] == 1


@pytest.mark.parametrize("scheme", SOURCES)
def test_flipped_bits_of_a_source_never_show_a_wrong_picture(
    tmp_path: Path, scheme: str
) -> None:
    content, draw = SOURCES[scheme][1](), random.Random(scheme)
    used = 16 * 1024 if scheme == "tars" else len(content)  # the rest is padding
    outcomes: Counter[str] = Counter()
    for _ in range(60):
        damaged = bytearray(content)
        damaged[draw.randrange(used)] ^= 1 << draw.randrange(8)
        outcomes += examine(scheme, placed(tmp_path, scheme, bytes(damaged)))
    assert outcomes["right"] > 0
    assert sum(outcomes.values()) > outcomes["right"]


@pytest.mark.parametrize("scheme", SOURCES)
def test_overwritten_stretches_of_a_source_never_show_a_wrong_picture(
    tmp_path: Path, scheme: str
) -> None:
    content, draw = SOURCES[scheme][1](), random.Random(scheme)
    used = 16 * 1024 if scheme == "tars" else len(content)
    for _ in range(30):
        at, length = draw.randrange(used), draw.randrange(1, 700)
        damaged = content[:at] + draw.randbytes(length) + content[at + length :]
        examine(scheme, placed(tmp_path, scheme, damaged))


CSVS: dict[str, bytes] = {
    "quote left open": b'path,caption\n0.png,"colour 0\n1.png,colour 1\n',
    "zeros inside": b"path,caption\n0.png,col\0our 0\n1.png,colour 1\n",
    "zero in a path": b"path,caption\n0\0.png,colour 0\n1.png,colour 1\n",
    "latin-1": b"path,caption\n0.png,\xe9\n1.png,colour 1\n",
    "utf-16": "path,caption\n0.png,colour 0\n".encode("utf-16"),
    "returns alone": b"path,caption\r0.png,colour 0\r1.png,colour 1\r",
    "many commas": b"path,caption\n" + b"," * 10_000 + b"\n1.png,colour 1\n",
    "a path of a megabyte": b"path,caption\n" + b"a" * 10**6 + b",x\n1.png,colour 1\n",
    "a folder for a path": b"path,caption\n.,here\n1.png,colour 1\n",
    "a device": b"path,caption\n/dev/zero,endless\n1.png,colour 1\n",
    "a missing file": b"path,caption\nno.png,x\n1.png,colour 1\n",
    "an address": b"path,caption\nhttps://a.org/1.png,x\n1.png,colour 1\n",
    "a row twice": b"path,caption\n1.png,colour 1\n1.png,colour 1\n",
    "surrogates": b"path,caption\n0.png,\xed\xa0\x80\n1.png,colour 1\n",
    "spaces": b"path,caption\n 1.png , colour 1 \n",
    "the same column": b"path,caption,caption\n1.png,colour 1,x\n",
}


@pytest.mark.parametrize("name", CSVS)
def test_strange_tables_are_refused_or_right(tmp_path: Path, name: str) -> None:
    seen = examine("csv", placed(tmp_path, "csv", CSVS[name]))
    assert seen["right"] >= 1 or seen["refused"] == 1


def test_a_run_over_a_broken_tenth_goes_on_and_counts_kinds(
    tmp_path: Path, preprocess, tokenizer, make_tar
) -> None:
    files = []
    for i in range(100):
        files.append(
            (f"{i:03d}.png", saved(Image.new("RGB", (4, 4), (i, 1, 2)), "PNG"))
        )
        files.append((f"{i:03d}.txt", b"red %d" % i))
    for at, content in enumerate([*NO_PICTURES, b"1", b"2", b"3"]):
        files[20 * at] = (files[20 * at][0], content)
    path = make_tar(tmp_path / "x.tar", files)

    def loader(share: float) -> Loader:
        pairs = open_pairs(Data(source=f"tars:{path}"))
        return Loader(
            pairs,
            range(100),
            preprocess,
            tokenizer,
            seed=0,
            batch=50,
            max_broken_share=share,
        )

    batches = loader(0.1)
    for step in range(4):
        batch = batches.batch(step)
        for text, pixels in zip(batch.captions, batch.pixels, strict=True):
            assert pixels.ravel().tolist() == [int(text.split()[1]), 1, 2]
    assert counts_by_kind(batches.broken) == {"not a picture": 9, "empty": 1}
    with pytest.raises(UserError, match=r"broken(.|\n)*x/010: not a picture"):
        strict = loader(0.01)
        for step in range(4):
            strict.batch(step)


def test_hundreds_of_bad_sources_were_tried() -> None:
    assert len(SOURCES) * (25 + 60 + 30) + len(CSVS) > 300
