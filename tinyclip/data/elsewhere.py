"""Captions of a folder's pictures that lie where `folder:` does not look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..bounded import open_regular
from ..errors import UserError
from ..quoting import shell
from .notes import number_of
from .tables import CAPTION_NAMES, DELIMITERS, IMAGE_NAMES, usual_column

TEXTS = (".txt", ".caption", ".json", ".jsonl", ".csv", ".tsv", ".parquet")
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
READ_BY = {".csv": "csv:", ".tsv": "tsv:", ".parquet": "parquet:", ".txt": "csv:"}
LOOKED_AT = 2**20  # bytes of a table
NAMED = 1000  # pictures that are looked for in it, and rows of a parquet file
MOST_TABLES = 100


def refuse_captions_elsewhere(
    where: str, root: Path, pictures: Sequence[str], texts: Sequence[str]
) -> None:
    """Refuse to make captions of folders' names where there are captions.

    Args:
        pictures: their keys.
        texts: keys of the files there that end in one of `TEXTS`.

    Raises:
        UserError: a table names the pictures, or texts are named as they are; with what
            reads them.
    """
    tables = [key for key in texts if PurePosixPath(key).name in METADATA]
    if tables:
        raise UserError(
            where,
            f"has its captions in {tables[0]}, which folder: does not read",
            f"Let the library datasets read the folder: {shell(f'hf:{root}')}",
        )
    stems = {PurePosixPath(key).stem for key in pictures}
    named = [key for key in texts if _stem(key) in stems]
    if len(named) * 10 >= len(pictures):
        raise UserError(
            where,
            f"has {number_of(len(named), 'text', 'texts')} named as pictures are, "
            f"such as {named[0]}, which folder: does not read",
            _advice(named[0]),
        )
    for key in sorted(texts, key=_suffix)[:MOST_TABLES]:
        picture = _named_in(root / key, pictures)
        if picture is not None:
            raise UserError(
                where,
                f"{key} tells of these pictures, and folder: does not read it",
                _reader(root, key, picture),
            )


def _advice(text: str) -> str:
    suffix = PurePosixPath(text).suffix
    todo = "Put each NAME.txt beside its NAME.png"
    if suffix.lower() == ".txt" != suffix:
        todo = f"Rename them to end in .txt, not {suffix}, beside their pictures"
    return (
        f"{todo}, or, where these hold no captions, leave them out: "
        f"--set 'data.exclude=[\"*{suffix}\"]'"
    )


def _reader(root: Path, table: str, picture: str) -> str:
    """What reads a table that names a picture by its path or by its name alone."""
    scheme = READ_BY.get(_suffix(table))
    if scheme is None:
        return "Write path and caption of each into a CSV, and name it: csv:FILE"
    folder = PurePosixPath(picture).parent
    away = PurePosixPath(table).parent
    path = picture if away == PurePosixPath() else picture.removeprefix(f"{away}/")
    if folder == away or path.encode() in _head(root / table):
        return f"Name it: {shell(f'{scheme}{root / table}')}"
    beside = shell(f"{scheme}{root / folder / PurePosixPath(table).name}")
    return f"Put it beside the pictures that it names, and name it: {beside}"


def _suffix(key: str) -> str:
    return PurePosixPath(key).suffix.lower()


def _stem(key: str) -> str:
    """Of ``0001.txt`` and of ``0001.png.txt`` it is 0001."""
    return PurePosixPath(key).name.split(".")[0]


def _named_in(file: Path, pictures: Sequence[str]) -> str | None:
    """The first picture that the beginning of a table names."""
    head = _head(file)
    for picture in pictures[:NAMED] if head else ():
        if PurePosixPath(picture).name.encode() in head:
            return picture
    return None


def _head(file: Path) -> bytes:
    """The beginning of a table; nothing of a text that is none, or of no captions."""
    try:
        if file.suffix.lower() == ".parquet":
            return _paths(file)
        with open_regular(file) as opened:
            head = opened.read(LOOKED_AT)
    except (OSError, ValueError):  # Arrow's errors are such
        return b""
    if file.suffix.lower() == ".txt":  # a list of pictures, or notes
        header = head.lstrip(b"\xef\xbb\xbf").split(b"\n")[0].decode(errors="replace")
        if not _has_captions(re.split(f"[{DELIMITERS}]", header)):
            return b""
    return head


def _paths(file: Path) -> bytes:
    """The first paths in a parquet file of paths and captions."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        names = table.schema_arrow.names
        if not _has_captions(names):
            return b""
        column = usual_column(names, IMAGE_NAMES)
        piece = next(table.iter_batches(NAMED, columns=[column]), None)
        cells = piece.column(0).to_pylist() if piece is not None else []
    return "\n".join(cell for cell in cells if isinstance(cell, str)).encode()


def _has_captions(columns: Sequence[str]) -> bool:
    return all(usual_column(columns, usual) for usual in (IMAGE_NAMES, CAPTION_NAMES))
