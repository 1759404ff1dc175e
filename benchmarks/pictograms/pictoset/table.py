"""The parquet file: one row a picture."""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from pictoset.captions import make_captions
from pictoset.drawing import Drawing
from pictoset.render import on_white
from pictoset.sources import SOURCES

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("image", pa.binary()),
        ("kind", pa.string()),
        ("concept", pa.string()),
        ("name", pa.string()),
        ("keywords", pa.list_(pa.string())),
        ("captions", pa.list_(pa.string())),
        ("group", pa.string()),
        ("subgroup", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("split", pa.string()),
    ]
)
ROWS_PER_GROUP = 4096
# WebP's own scales: the most effort takes ten times as long for 2 % fewer bytes.
EFFORT, METHOD = 60, 4


@dataclass(frozen=True)
class Picture:
    """A drawing with its pixels and its split."""

    drawing: Drawing
    split: str
    rgba: NDArray[np.uint8]


def webp(rgba: NDArray[np.uint8], quality: int | None) -> bytes:
    """The picture as WebP: without a quality lossless and with its transparency.

    With a quality it is laid on white, and the smaller of the lossy and the lossless
    file is taken: flat drawings are often smaller lossless. Transparency would cost
    as much as the colours.
    """

    def encode(pixels: NDArray[np.uint8], **options: object) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "WEBP", **options)
        return buffer.getvalue()

    if quality is None:
        return encode(rgba, lossless=True, quality=EFFORT, method=METHOD)
    white = on_white(rgba)
    exact = encode(white, lossless=True, quality=EFFORT, method=METHOD)
    return min(exact, encode(white, quality=quality, method=METHOD), key=len)


def row(picture: Picture, image: bytes) -> dict[str, object]:
    """One row of the file."""
    d = picture.drawing
    keywords = list(d.keywords)
    return {
        "key": d.key,
        "image": image,
        "kind": d.kind,
        "concept": d.concept,
        "name": d.name,
        "keywords": keywords,
        "captions": make_captions(d.kind, d.name, keywords, d.group, d.subgroup),
        "group": d.group,
        "subgroup": d.subgroup,
        "source": d.source,
        "licence": SOURCES[d.source].licence,
        "split": picture.split,
    }


def write(rows: list[dict[str, object]], path: Path) -> None:
    """Write the file beside and rename it."""
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    draft = path.with_name(path.name + ".part")
    plain = [name for name in SCHEMA.names if name not in ("key", "image")]
    pq.write_table(
        table,
        draft,
        compression={n: "none" if n == "image" else "zstd" for n in _leaves()},
        compression_level={n: 19 for n in _leaves() if n != "image"},
        use_dictionary=[n for n in _leaves() if n.split(".")[0] in plain],
        row_group_size=ROWS_PER_GROUP,
        write_statistics=False,
        store_schema=False,
    )
    draft.replace(path)


def _leaves() -> list[str]:
    lists = {"keywords", "captions"}
    return [f"{n}.list.element" if n in lists else n for n in SCHEMA.names]


def content_sha256(rows: Iterable[dict[str, object]]) -> str:
    """A checksum of what the rows say, whatever version wrote the file."""
    total = hashlib.sha256()
    for item in rows:
        for name in SCHEMA.names:
            value = item[name]
            data = value if isinstance(value, bytes) else repr(value).encode()
            total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()
