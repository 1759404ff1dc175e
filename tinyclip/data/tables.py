"""`csv:FILE` and `tsv:FILE`: a table of picture paths and captions."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bounded import open_regular
from ..config.schema import Data
from ..errors import UserError, nearest
from .broken import Dropped
from .columns import gather, tidy_paths
from .files import FilePairs
from .labels import labelled
from .notes import note, number_of
from .pictures import SUFFIXES, parse_background
from .protocol import BARE
from .quotes import Mended, Rows, mended
from .quotes import header as names_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

IMAGE_NAMES = (
    *("path", "image", "filepath", "file_path", "file", "image_path", "filename"),
    *("file_name", "image_file", "image_name", "img", "img_path", "picture", "photo"),
)
CAPTION_NAMES = (
    *("caption", "text", "title", "description", "captions", "alt", "alt_text"),
    *("sentence", "prompt", "label", "name"),
)
DELIMITERS = ",\t;|"
PIECE = 50_000  # rows
LONGEST_HEADER = 2**20  # bytes
SKIPPED = re.compile(r"Skipping line (\d+): (.*)")  # pandas
QUOTED = re.compile(r'"(?:[^"]|"")*"')
HINT = " fields; put captions that hold the delimiter in double quotes"


def open_table(data: Data, file: str, delimiter: str | None = None) -> FilePairs:
    """The pairs of a CSV or TSV file; relative paths are relative to the file.

    Read in pieces: a million rows take seconds, and a few hundred MB while they are
    read.

    Args:
        delimiter: between columns; None: the most frequent one of the header.

    Raises:
        UserError: no such file, not a table, empty, without usable columns, or with
            too many rows or pictures that cannot be used.
    """
    import pyarrow as pa

    path = Path(file).expanduser()
    where = data.source
    line = QUOTED.sub("", header_line(path, where))
    delimiter = delimiter or max(DELIMITERS, key=line.count)
    table = mended(path, delimiter, _rows(path, delimiter, data))
    note_marks(where, table)
    dropped = Dropped()
    keys: list[pa.Array] = []
    texts: list[pa.Array] = []
    for piece in pieces_of(table, where, delimiter):
        if not keys:
            _refuse_headless(where, piece.columns, data)
            image, text = _columns(piece, data)
        keys.append(tidy_paths(as_strings(piece[image])))
        texts.append(as_strings([BARE] * len(piece) if text is None else piece[text]))
        for line, why in piece.attrs["bad"]:
            dropped.add("bad row", line, why + HINT)
    if not sum(map(len, keys)) + dropped.broken:
        raise UserError(where, "has a header and no rows", "Add rows of path, caption")
    return file_pairs(
        data, path.parent, pa.concat_arrays(keys), pa.concat_arrays(texts), dropped
    )


def _text_column(columns: Iterable[Any], data: Data) -> str:
    """The column of captions, or of the classes that these are made of.

    Raises:
        UserError: there is none.
    """
    if data.label_column is not None:
        return find_column(columns, data.label_column, (), "label", data.source)
    named = data.caption_column
    return find_column(columns, named, CAPTION_NAMES, "caption", data.source)


def file_pairs(
    data: Data, root: Path, keys: pa.Array, texts: pa.Array, dropped: Dropped
) -> FilePairs:
    """The pairs of a table's rows, each a tidy path and a caption.

    Args:
        root: what paths are relative to.

    Raises:
        UserError: too many rows or pictures cannot be used.
    """
    gathered = gather(keys, texts, data.exclude, dropped)
    dropped.check(data.source, len(gathered.keys), data.max_broken_share)
    of = labelled(data, gathered.texts)
    pairs = FilePairs(
        name=data.source,
        root=root,
        keys=gathered.keys,
        texts=of.texts,
        background=parse_background(data.background),
        dropped=dropped,
        labels=of.labels,
        label_sets=of.label_sets,
    )
    pairs.check_present(data.max_broken_share)
    return pairs


def _columns(table: Iterable[Any], data: Data) -> tuple[str, str | None]:
    """The columns of pictures and of captions; the latter where they are wanted.

    Raises:
        UserError: there is none.
    """
    image = find_column(table, data.image_column, IMAGE_NAMES, data.column, data.source)
    return image, _text_column(table, data) if data.captioned else None


def _refuse_headless(where: str, columns: Iterable[str], data: Data) -> None:
    """Refuse a table whose first line is a row already."""
    if data.image_column is None and usual_column(columns, IMAGE_NAMES) is None:
        for name in columns:
            if name.strip().lower().endswith(SUFFIXES):
                raise UserError(
                    where,
                    f"the first line names no columns: {name[:40]!r} is a picture",
                    "Put a line like path,caption before it",
                )


def as_strings(values: Any) -> pa.Array:
    """A column of text as one Arrow array with 64-bit offsets; NaN becomes null."""
    import pyarrow as pa

    array = pa.array(values, pa.large_string(), from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _rows(path: Path, delimiter: str, data: Data) -> Rows:
    """What the header says of rows."""
    names = names_of(path, delimiter)
    image = data.image_column or usual_column(names, IMAGE_NAMES)
    at = names.index(image) if image in names else None
    return Rows(len(names), at, path.parent)


def pieces_of(table: Mended, where: str, delimiter: str) -> Iterator[pd.DataFrame]:
    """The table in pieces of `PIECE` rows, every cell as text under its column's name.

    `attrs["bad"]` of a piece names its rows that do not fit, and says why.
    """
    import pandas as pd

    names: list[str] = []
    try:
        with pd.read_csv(
            table.content,
            sep=delimiter,
            dtype=str,
            na_filter=False,  # "NA" and "null" are captions like any other
            # the header is a row like any other: it alone says how many fields a
            # row has, where pandas would cut or shift a longer first row
            header=None,
            encoding="utf-8-sig",
            encoding_errors="replace",  # these rows are found by the mark left there
            on_bad_lines="warn",
            chunksize=PIECE,
        ) as reader:
            while True:
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    piece = next(reader, None)
                if piece is None:
                    return
                if not names:
                    names = [str(name) for name in piece.iloc[0]]
                    piece = piece.iloc[1:]
                piece.columns = names
                piece = piece.loc[:, ~piece.columns.duplicated()]
                piece.attrs["bad"] = [
                    (f"line {table.line(line)}", why) for line, why in _skipped(warned)
                ]
                yield piece
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(
            where, f"cannot be read as a table: {reason}", "Give a CSV in UTF-8"
        ) from None


def note_marks(where: str, table: Mended) -> None:
    if lines := table.strays:
        begin = number_of(len(lines), "field begins", "fields begin")
        note(
            f"{where}: {begin} with a quotation mark that quotes nothing; what stands "
            f"there is read as it is; the first is in line {lines[0]}"
        )
    if spans := table.spans:
        longest, more = max(spans, key=lambda span: span[1])
        span = number_of(len(spans), "caption spans", "captions span")
        note(
            f"{where}: {span} several lines; the first is in line "
            f"{spans[0][0]}, the longest of {more + 1} lines in line {longest}. If "
            "these lines are rows, close or remove the quotation mark there"
        )


def _skipped(warned: Sequence[warnings.WarningMessage]) -> Iterator[tuple[int, str]]:
    """Line and fault of each row that pandas passed over."""
    for warning in warned:
        for match in map(SKIPPED.match, str(warning.message).split("\n")):
            if match:
                yield int(match[1]), match[2]


def header_line(path: Path, where: str) -> str:
    """The first line of a text file."""
    try:
        with open_regular(path) as file:
            lines = iter(lambda: file.readline(LONGEST_HEADER), b"")
            ended = (line for part in lines for line in part.split(b"\r"))
            raw = next((line for line in ended if line.strip(b"\xef\xbb\xbf \n")), b"")
        header = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(where, "there is no such file", "Check the path") from None
    except UnicodeDecodeError:
        raise UserError(
            where, "is not a CSV: not text in UTF-8", "Save it as CSV in UTF-8"
        ) from None
    except OSError as error:
        raise UserError(where, f"cannot be read: {error.strerror}") from None
    if not header:
        raise UserError(where, "the file is empty", "Add a header and rows")
    if "\0" in header:
        raise UserError(where, "is not a CSV: it holds binary data", "Give a CSV")
    return header


def find_column(
    columns: Iterable[Any],
    named: str | None,
    usual: Sequence[str],
    kind: str,
    where: str,
) -> str:
    """The column that holds images or captions.

    Args:
        columns: the names that there are.
        named: the one that the user asks for.
        usual: names to look for otherwise, the likeliest first.

    Raises:
        UserError: there is none.
    """
    columns = [str(column) for column in columns]
    if named is not None:
        if named not in columns:
            raise UserError(
                f"data.{kind}_column",
                f"{where} has no column {named!r}",
                nearest(named, columns),
            )
        return named
    column = usual_column(columns, usual)
    if column is not None:
        return column
    shown = ", ".join(repr(column[:40]) for column in columns[:12])
    raise UserError(
        where,
        f"no {kind} column among its columns {shown}",
        f"Call it {usual[0]!r}, or name it: --set data.{kind}_column=NAME",
    )


def usual_column(columns: Iterable[str], usual: Sequence[str]) -> str | None:
    """The column with the likeliest of some usual names."""
    plain = {_plain(column): column for column in reversed([*columns])}
    return next((plain[name] for name in usual if name in plain), None)


def _plain(column: str) -> str:
    return re.sub(r"[\s\-.]+", "_", column.strip().lower())
