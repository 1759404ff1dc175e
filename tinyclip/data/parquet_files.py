"""A parquet file, whoever wrote it: what it states is checked before it is read.

Equal values are stored once, and a row costs a few bits then: a file of 10 KB can stand
for terabytes. So values are read as they are stored, as indices into the distinct ones,
and what is made of them is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .broken import Broken, reason

if TYPE_CHECKING:
    import pyarrow as pa

SWOLLEN = 64  # times the bytes of its file that texts may be
ROWS = 16  # values of a column for each byte of the file
FREE = 2**28  # bytes of texts that are never too many
PACKED = 2_000  # times its stored bytes that a column may be
LARGEST = 2**31  # bytes of pictures in one row group
AGAIN = "Write it again"


def footer(where: str, path: Path) -> Any:
    """The metadata of a parquet file.

    Raises:
        UserError: it is none, or states what no file of its size can hold.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        size = path.stat().st_size
        about = pq.read_metadata(path)
        about.schema.to_arrow_schema()
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        raise UserError(
            where, f"{path} is no parquet file, or not a whole one: {reason(error)}"
        ) from None
    counts = [about.num_rows]
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        parts = [group.column(i) for i in range(group.num_columns)]
        counts += [group.num_rows, *(part.num_values for part in parts)]
        for part in parts:
            _check_packed(where, path, part)
    if not all(0 <= count <= ROWS * size for count in counts):
        raise UserError(
            where,
            f"{path} states {max(counts)} values in a file of {size} bytes",
            AGAIN,
        )
    return about


def _check_packed(where: str, path: Path, part: Any) -> None:
    stored, whole = part.total_compressed_size, part.total_uncompressed_size
    if stored < 0 or not 0 <= whole <= FREE + PACKED * stored:
        raise UserError(
            where,
            f"{path}: {part.path_in_schema!r} states {whole} bytes, packed into "
            f"{stored}",
            AGAIN,
        )


def read_group(
    path: Path, about: Any, group: int, column: str, plain: set[Path]
) -> pa.ChunkedArray:
    """A column of a row group, its values as they are stored; raises `Broken`.

    Args:
        plain: files that Arrow can read with all values written out alone; one that
            turns out to be so comes in.
    """
    import pyarrow as pa

    try:
        return _read(path, about, [column], plain, group).column(column)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise Broken(
            "unreadable", f"row group {group} of {path}: {reason(error)}"
        ) from None


def read_columns(where: str, path: Path, names: Sequence[str]) -> pa.Table:
    """Columns of a file, their values as they are stored.

    Raises:
        UserError: the file is damaged.
    """
    import pyarrow as pa

    try:
        return _read(path, footer(where, path), names, set())
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise UserError(where, f"{path} is damaged: {reason(error)}", AGAIN) from None


def _read(
    path: Path, about: Any, names: Sequence[str], plain: set[Path], group: int = -1
) -> pa.Table:
    """Columns of a file, or of one of its row groups; as `read_group`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(stored: list[str]) -> pa.Table:
        with pq.ParquetFile(
            path,
            memory_map=True,
            metadata=about,
            read_dictionary=stored,
            page_checksum_verification=True,
        ) as file:
            if group < 0:
                return file.read(columns=list(names))
            return file.read_row_group(group, list(names))

    try:
        return read([] if path in plain else _repeated(about, names, group))
    except pa.ArrowNotImplementedError:  # of values in others, some equal, some not
        plain.add(path)
        return read([])


def _repeated(about: Any, names: Sequence[str], group: int) -> list[str]:
    """The leaves of texts or bytes, in these columns, that may stand for more than
    `FREE` bytes: where no value can be so large, they are read plainly."""
    found = set()
    for number in range(about.num_row_groups) if group < 0 else (group,):
        of_group = about.row_group(number)
        for part in (of_group.column(i) for i in range(of_group.num_columns)):
            if (
                part.physical_type == "BYTE_ARRAY"
                and part.path_in_schema.split(".")[0] in names
                and any("DICTIONARY" in kind for kind in part.encodings)
                and part.num_values * part.total_uncompressed_size > FREE
            ):
                found.add(part.path_in_schema)
    return sorted(found)


def read_texts(where: str, path: Path, names: Sequence[str]) -> pa.Table:
    """Columns of plain texts, written out.

    Raises:
        UserError: the file is damaged, or its texts are too many for it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table, most = read_columns(where, path, names), _most(path)
    for name in names:
        size = 0
        for chunk in table[name].chunks:
            if pa.types.is_dictionary(chunk.type):
                sizes = pc.cast(pc.binary_length(chunk.dictionary), pa.int64())
                size += pc.sum(sizes.take(chunk.indices)).as_py() or 0
        if size > most:
            raise _swollen(where, path, name, size)
    columns = [table[name].cast(pa.large_string()) for name in names]
    return pa.table(columns, list(names))


def read_cells(where: str, path: Path, name: str) -> Iterator[Any]:
    """The values of a column, a row after the other; equal texts are one object.

    Raises:
        UserError: the file is damaged, or its texts are too many for it.
    """
    size, most = 0, _most(path)
    for chunk in read_columns(where, path, [name]).column(name).chunks:
        try:
            for value in _values(chunk):
                size += len(value) if isinstance(value, str) else 0
                if isinstance(value, list):
                    size += sum(len(text) for text in value if isinstance(text, str))
                if size > most:
                    raise _swollen(where, path, name, size)
                yield value
        except UnicodeDecodeError:
            raise UserError(where, f"{path}: {name!r} is not UTF-8", AGAIN) from None


def _most(path: Path) -> int:
    return max(FREE, SWOLLEN * path.stat().st_size)


def _swollen(where: str, path: Path, name: str, size: int) -> UserError:
    return UserError(
        where,
        f"{path}: {name!r} stands for more than {size} bytes of text, in a file of "
        f"{path.stat().st_size}",
        "A text that is repeated so often is no caption",
    )


def _values(array: Any) -> Iterator[Any]:
    """The values of an Arrow array, equal ones of a dictionary once in memory."""
    import pyarrow.types as kinds

    kind = array.type
    if kinds.is_dictionary(kind):
        words = array.dictionary.to_pylist()
        for index in array.indices.to_pylist():
            yield None if index is None else words[index]
    elif kinds.is_list(kind) or kinds.is_large_list(kind):
        inner = _values(array.flatten())
        for length in array.value_lengths().to_pylist():
            yield None if length is None else [next(inner) for _ in range(length)]
    elif kinds.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        parts = [_values(array.field(i)) for i in range(kind.num_fields)]
        valid = array.is_valid().to_pylist()
        for whole, values in zip(valid, zip(*parts, strict=True), strict=True):
            yield dict(zip(names, values, strict=True)) if whole else None
    else:
        yield from array.to_pylist()
