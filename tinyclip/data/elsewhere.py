"""Captions of a folder's pictures that lie where `folder:` does not look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import UserError

TEXTS = (".txt", ".caption", ".json", ".jsonl", ".csv", ".tsv", ".parquet")
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
READ_BY = {".csv": "csv:", ".tsv": "tsv:", ".parquet": "parquet:"}
LOOKED_AT = 2**20  # bytes of a table
NAMED = 1000  # pictures that are looked for in it
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
            f"Let the library datasets read the folder: hf:{root}",
        )
    stems = {PurePosixPath(key).stem for key in pictures}
    named = [key for key in texts if _stem(key) in stems]
    if len(named) * 10 >= len(pictures):
        glob = f"*{PurePosixPath(named[0]).suffix}"
        raise UserError(
            where,
            f"has {len(named)} texts named as pictures are, such as {named[0]}, which "
            "folder: does not read",
            "Put each NAME.txt beside its NAME.png, or, where these hold no captions, "
            f"leave them out: --set 'data.exclude=[\"{glob}\"]'",
        )
    tables = [key for key in texts if PurePosixPath(key).suffix != ".txt"]
    for key in tables[:MOST_TABLES]:
        if _names_any(root / key, pictures):
            reader = READ_BY.get(PurePosixPath(key).suffix)
            raise UserError(
                where,
                f"{key} tells of these pictures, and folder: does not read it",
                f"Name it: {reader}{root / key}"
                if reader
                else "Write path and caption of each into a CSV, and name it: csv:FILE",
            )


def _stem(key: str) -> str:
    """Of ``0001.txt`` and of ``0001.png.txt`` it is 0001."""
    return PurePosixPath(key).name.split(".")[0]


def _names_any(file: Path, pictures: Sequence[str]) -> bool:
    """Whether the beginning of a file names one of the pictures."""
    try:
        with file.open("rb") as opened:
            head = opened.read(LOOKED_AT)
    except OSError:
        return False
    names = {PurePosixPath(key).name.encode() for key in pictures[:NAMED]}
    return any(name in head for name in names)
