"""Splits of a parquet file of pictures: an embedded set, or one of its form."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..config.schema import Data
from ..errors import UserError, nearest
from .columns import excluded
from .parquet_files import footer
from .pictures import RGB, decode_picture, parse_background

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_COLUMNS = ("key", "name", "group", "subgroup", "split", "kind")
NEEDED = ("key", "split", "kind", "captions")  # with the pictures, of every set
LIST_COLUMNS = ("keywords", "captions")


class Pictograms:
    """One split of a parquet file of pictures.

    Text is held as Arrow columns, pictures of this split alone and only from the first
    one that is asked for. `chooses` says which rows, by (split, kind).
    """

    def __init__(
        self,
        path: Path,
        name: str,
        chooses: Callable[[str, str], bool],
        background: RGB = (255, 255, 255),
        exclude: tuple[str, ...] = (),
    ) -> None:
        self.name, self.background = name, background
        self._path = path
        table = read_columns(path, name, NEEDED)
        splits, kinds, keys = (
            table.column(column).to_pylist() for column in ("split", "kind", "key")
        )
        chosen = [i for i in range(len(keys)) if chooses(splits[i], kinds[i])]
        kept = [i for i in chosen if not excluded(keys[i], exclude)]
        texts = take(table, kept).column("captions").to_pylist()
        whole = [i for i, captions in zip(kept, texts, strict=True) if captions]
        reasons = {
            "excluded": len(chosen) - len(kept),
            "no caption": len(kept) - len(whole),
        }
        self.dropped = {kind: count for kind, count in reasons.items() if count}
        self._rows = whole
        self._table = take(table, whole)

    def __len__(self) -> int:
        return len(self._rows)

    def values(self, column: str) -> list[Any]:
        """A column of the rows as a list."""
        if column in NEEDED:
            return self._table.column(column).to_pylist()
        table = read_columns(self._path, self.name, (column,))
        return take(table, self._rows).column(column).to_pylist()

    def named(self, column: str) -> set[str]:
        """The texts that a column of the rows holds; none where there is no such
        column."""
        if column not in footer(self.name, self._path).schema.to_arrow_schema().names:
            return set()
        return {value for value in self.values(column) if isinstance(value, str)}

    def key(self, i: int) -> str:
        return str(self._table.column("key")[i].as_py())

    def place(self, i: int) -> str:
        """The file, and where in it: as a source of all its rows has it."""
        return f"{self._path.absolute()}#{self._rows[i]}"

    def captions(self, i: int) -> tuple[str, ...]:
        return tuple(self._table.column("captions")[i].as_py())

    def image(self, i: int) -> Image.Image:
        """The picture of row `i`, RGB; raises `Broken`."""
        return decode_picture(self._images[i].as_py() or b"", self.background)

    def fingerprint(self) -> str:
        """Of the file's bytes and the rows chosen from it."""
        digest = blake2b(digest_size=16)
        with self._path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(repr((self._rows, self.background)).encode())
        return digest.hexdigest()

    @cached_property
    def _images(self) -> pa.Array:
        table = read_columns(self._path, self.name, ("image",))
        return take(table, self._rows).column("image")


def open_pictograms(data: Data, path: Path, split: str) -> Pictograms:
    """One split of the embedded set, or of a file of its form.

    Raises:
        UserError: the file is missing or of another form, or holds nothing of it.
    """
    background = parse_background(data.background)
    pairs = Pictograms(
        path,
        data.source,
        lambda of_row, _: of_row == split,
        background,
        tuple(data.exclude),
    )
    if not len(pairs):
        raise UserError(data.source, f"no rows of the split {split!r}", "Check it")
    return pairs


def is_pictograms(path: Path) -> bool:
    """Whether a file has the columns of the embedded set; False where it is none."""
    import pyarrow as pa

    if not path.is_file():
        return False
    try:
        schema = footer(str(path), path).schema.to_arrow_schema()
    except UserError:  # it is told when the file is opened
        return False
    text, texts = pa.string(), pa.list_(pa.string())
    kinds = {"image": pa.binary(), **dict.fromkeys(TEXT_COLUMNS, text)}
    kinds |= dict.fromkeys(LIST_COLUMNS, texts)
    return all(
        name in schema.names and schema.field(name).type.equals(kind)
        for name, kind in kinds.items()
    )


def take(table: pa.Table, rows: list[int]) -> pa.Table:
    """Some rows of a table, none included."""
    import pyarrow as pa

    return table.take(pa.array(rows, pa.int64())).combine_chunks()


def read_columns(path: Path, name: str, columns: tuple[str, ...]) -> pa.Table:
    """Some columns of a parquet file.

    Raises:
        UserError: it is missing, no parquet file, or lacks one of them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(name, f"there is no file {path}", "Check the path")
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            names = file.schema_arrow.names
            for column in columns:
                if column not in names:
                    raise UserError(
                        name, f"no column {column!r} in {path}", nearest(column, names)
                    )
            return file.read(columns=list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(name, f"{path} is no parquet file: {reason}") from None
