"""`parquet:FILE.parquet`, several or a folder of them: bytes or paths of pictures.

Pictures are read by row group. Files whose pictures are `HELD` bytes or less are held
and shuffled as a whole; of larger ones a few row groups are held at a time, and an
epoch goes through these in turn (`seeds.block_order`), so that each is read once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config.schema import Data
from ..errors import UserError
from .broken import Dropped
from .columns import tidy_paths
from .fields import TEXT, Field, Kind, caption_column, described, value_at
from .files import FilePairs
from .labels import labelled
from .parquet_files import LARGEST, footer, read_cells, read_group, read_texts
from .pictures import parse_background
from .protocol import BARE
from .rows import RowPairs, picture_bytes, usable
from .shards import find_shards, shard_labels
from .tables import IMAGE_NAMES, as_strings, file_pairs, find_column

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES = ("image", "image_bytes", "bytes", "jpg", "png", "webp", *IMAGE_NAMES)
HELD = 2**30  # bytes of pictures, as they are in the files


class ParquetRows:
    """The pictures of parquet files by row, one file after the other.

    Args:
        where: the source, as the user wrote it.
        files: with the same image column.
        column: its name; binary, or a struct with ``bytes`` (and ``path``).

    Raises:
        UserError: a row group is too large to be held.
    """

    def __init__(self, where: str, files: Sequence[Path], column: str) -> None:
        self.files, self.column = list(files), column
        self._labels = shard_labels(self.files)
        self._footers = [footer(where, path) for path in self.files]
        self._groups = [  # (file, group in it)
            (number, group)
            for number, of_file in enumerate(self._footers)
            for group in range(of_file.num_row_groups)
        ]
        rows, sizes = [], []
        for number, group in self._groups:
            about = self._footers[number].row_group(group)
            rows.append(about.num_rows)
            sizes.append(_bytes_of(about, column))
        self._starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        per_file = [of_file.num_rows for of_file in self._footers]
        self._file_starts = np.concatenate([[0], np.cumsum(per_file)]).astype(np.int64)
        largest = max(sizes, default=0)
        if largest > LARGEST:
            raise UserError(
                where,
                f"a row group holds {largest / 2**30:.1f} GB of pictures, and one is "
                "read at a time",
                "Write the file with row_group_size=1000 or so",
            )
        self._all = sum(sizes) <= HELD
        self.together = max(1, HELD // 2 // max(1, largest))
        self._held: OrderedDict[int, Any] = OrderedDict()
        self._plain: set[Path] = set()
        self._lock = Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def blocks(self) -> tuple[NDArray[np.int64], int] | None:
        if self._all:
            return None
        numbers = np.arange(len(self._groups))
        return np.repeat(numbers, np.diff(self._starts)), self.together

    def key(self, row: int) -> str:
        file = self._file(row)
        return f"{self._labels[file]}#{row - int(self._file_starts[file])}"

    def place(self, row: int) -> str:
        file = self._file(row)
        row_in_file = row - int(self._file_starts[file])
        return f"{self.files[file].absolute()}#{row_in_file}"

    def read(self, row: int) -> bytes:
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        cell = self._pictures(group)[row - int(self._starts[group])].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        return picture_bytes(content)

    def _file(self, row: int) -> int:
        return int(np.searchsorted(self._file_starts, row, side="right")) - 1

    def _pictures(self, group: int) -> pa.ChunkedArray:
        """The image column of a row group; the last ones asked for are held."""
        with self._lock:
            if group in self._held:
                self._held.move_to_end(group)
                return self._held[group]
            cells = self._read_group(group)
            self._held[group] = cells
            while not self._all and len(self._held) > 2 * self.together:
                self._held.popitem(last=False)
            return cells

    def _read_group(self, group: int) -> pa.ChunkedArray:
        file, group_in_file = self._groups[group]
        about = self._footers[file]
        return read_group(
            self.files[file], about, group_in_file, self.column, self._plain
        )


def open_parquet(data: Data, patterns: str) -> RowPairs | FilePairs:
    """The pairs of parquet files: an image column of bytes or paths, and captions.

    Raises:
        UserError: files are missing or damaged, lack a column, or have no or too few
            usable rows.
    """
    import pyarrow as pa

    where = data.source
    files = find_shards(where, patterns, ".parquet")
    schema = footer(where, files[0]).schema.to_arrow_schema()
    image = find_column(schema.names, data.image_column, IMAGES, data.column, where)
    kinds = {field.name: _plain(field.type) for field in schema}
    caption, cells = None, iter([BARE] * _rows_of(where, files))
    if data.captioned:
        named = data.label_column or data.caption_column
        caption, field = caption_column(where, named, kinds)
        cells = _captions(where, files, caption, field)
    for path in files[1:]:
        _check_alike(where, path, {n: kinds[n] for n in (image, caption) if n})
    if kinds[image] == TEXT and caption and kinds[caption] == TEXT:
        columns = pa.concat_tables(
            read_texts(where, path, [image, caption]) for path in files
        )
        return _of_paths(data, files, columns[image], columns[caption])
    if kinds[image] == TEXT:
        paths = (read_texts(where, path, [image]).column(image) for path in files)
        keys = [key for column in paths for key in column.to_pylist()]
        return _of_paths(data, files, *_one_a_row(keys, cells))
    _check_pictures(where, schema, image)
    rows = ParquetRows(where, files, image)
    dropped = Dropped()
    kept, texts = usable(cells, rows.key, data.exclude, dropped)
    dropped.check(where, len(kept), data.max_broken_share)
    background, of = parse_background(data.background), labelled(data, texts)
    return RowPairs(
        *(where, rows, kept, of.texts, background, dropped, of.labels, of.label_sets)
    )


def _rows_of(where: str, files: Sequence[Path]) -> int:
    return sum(footer(where, path).num_rows for path in files)


def _captions(
    where: str, files: Sequence[Path], column: str, field: Field
) -> Iterator[Any]:
    """What each row says in a field of a column."""
    for path in files:
        for cell in read_cells(where, path, column):
            yield value_at(cell, field)


def _one_a_row(
    keys: Iterable[str | None], cells: Iterable[Any]
) -> tuple[list[str | None], list[str | None]]:
    """A row for each caption of each list."""
    rows: list[tuple[str | None, str | None]] = []
    for key, cell in zip(keys, cells, strict=True):
        each = cell if isinstance(cell, list) else [cell]
        rows += [(key, text) for text in each or [""]]
    return [key for key, _ in rows], [text for _, text in rows]


def _of_paths(data: Data, files: list[Path], keys: Any, texts: Any) -> FilePairs:
    """Paths relative to the first file, as in a CSV."""
    paths = tidy_paths(as_strings(keys))
    return file_pairs(data, files[0].parent, paths, as_strings(texts), Dropped())


def _bytes_of(row_group: Any, column: str) -> int:
    """Bytes of an image column in a row group, not compressed."""
    parts = (row_group.column(i) for i in range(row_group.num_columns))
    return sum(
        part.total_uncompressed_size
        for part in parts
        if part.path_in_schema.split(".")[0] == column
    )


def _plain(kind: pa.DataType) -> Kind:
    """What a column holds."""
    import pyarrow.types as kinds

    if kinds.is_dictionary(kind):
        kind = kind.value_type
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return TEXT
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return [_plain(kind.value_type)]
    if kinds.is_struct(kind):
        return {field.name: _plain(field.type) for field in kind}
    return str(kind)


def _check_alike(where: str, path: Path, kinds: Mapping[str, Kind]) -> None:
    """Refuse a file whose columns hold something else than the first one's.

    Raises:
        UserError: with what it holds.
    """
    schema = footer(where, path).schema.to_arrow_schema()
    for name, kind in kinds.items():
        find_column(schema.names, name, (), "image", where)
        if (own := _plain(schema.field(name).type)) != kind:
            raise UserError(
                where,
                f"{path}: the column {name!r} holds {described(own)}, where the first "
                f"file has {described(kind)}",
                "Give files of one kind",
            )


def _check_pictures(where: str, schema: pa.Schema, image: str) -> None:
    import pyarrow.types as kinds

    whole = kind = schema.field(image).type
    if kinds.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    if not (kinds.is_binary(kind) or kinds.is_large_binary(kind)):
        raise UserError(
            where,
            f"the column {image!r} holds {whole}, not pictures",
            "It must hold bytes, {bytes, path}, or paths",
        )
