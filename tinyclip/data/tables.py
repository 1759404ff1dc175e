"""`csv:FILE`: a table of picture paths and captions."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..config.schema import Data
from ..errors import UserError, nearest
from .files import FilePairs, gather
from .pictures import parse_background

if TYPE_CHECKING:
    import pandas as pd

IMAGE_NAMES = (
    *("path", "image", "filepath", "file_path", "file", "image_path", "filename"),
    *("file_name", "image_file", "image_name", "img", "img_path", "picture", "photo"),
)
CAPTION_NAMES = (
    *("caption", "text", "title", "description", "captions", "alt", "alt_text"),
    *("sentence", "prompt", "label", "name"),
)
DELIMITERS = ",\t;|"


def open_table(data: Data, file: str) -> FilePairs:
    """The pairs of a CSV or TSV file; relative paths are relative to the file.

    Raises:
        UserError: no such file, not a table, empty, without usable columns, or with
            too many rows or pictures that cannot be used.
    """
    path = Path(file).expanduser()
    where = data.source
    table, bad = _read(path, where)
    image = _column(table, data.image_column, IMAGE_NAMES, "image", where)
    caption = _column(table, data.caption_column, CAPTION_NAMES, "caption", where)
    _check_rows(where, len(table), bad, data.max_broken_share)
    keys = [_key(cell) for cell in table[image]]
    texts = [cell if isinstance(cell, str) else "" for cell in table[caption]]
    found, dropped = gather(zip(keys, texts, strict=True), data.exclude)
    dropped += Counter({"bad row": len(bad)}) if bad else Counter()
    if not found:
        raise UserError(where, f"no row can be used: {_counts(dropped)}")
    pairs = FilePairs(
        name=where,
        root=path.parent,
        keys=tuple(found),
        texts=tuple(tuple(captions) for captions in found.values()),
        background=parse_background(data.background),
        dropped=dict(dropped),
    )
    pairs.check_present(data.max_broken_share)
    return pairs


def _key(cell: object) -> str:
    text = cell.strip() if isinstance(cell, str) else ""
    # ./a.png and a.png are one picture; an address keeps its two slashes
    return text if not text or "://" in text else str(PurePosixPath(text))


def _read(path: Path, where: str) -> tuple[pd.DataFrame, list[str]]:
    """The table with every cell as text, and what was said of rows that do not fit."""
    import pandas as pd

    header = _header(path, where)
    delimiter = max(DELIMITERS, key=header.count)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            table = pd.read_csv(
                path,
                sep=delimiter,
                dtype=str,
                na_filter=False,  # "NA" and "null" are captions like any other
                # the header is a row like any other: it alone says how many fields a
                # row has, where pandas would cut or shift a longer first row
                header=None,
                encoding="utf-8-sig",
                on_bad_lines="warn",
            )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(
            where, f"cannot be read as a table: {reason}", "Give a CSV in UTF-8"
        ) from None
    table.columns = [str(name) for name in table.iloc[0]]
    table = table.iloc[1:].loc[:, ~table.columns.duplicated()]
    if table.empty:
        raise UserError(where, "has a header and no rows", "Add rows of path, caption")
    lines = [line for note in said for line in str(note.message).split("\n")]
    return table, [line for line in lines if line.startswith("Skipping line")]


def _header(path: Path, where: str) -> str:
    """The first line of a text file."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = next((line for line in file if line.strip()), "")
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


def _column(
    table: pd.DataFrame,
    named: str | None,
    usual: Sequence[str],
    kind: str,
    where: str,
) -> str:
    """The column that holds images or captions."""
    columns = [str(column) for column in table.columns]
    if named is not None:
        if named not in columns:
            raise UserError(
                f"data.{kind}_column",
                f"{where} has no column {named!r}",
                nearest(named, columns),
            )
        return named
    plain = {_plain(column): column for column in reversed(columns)}
    for name in usual:
        if name in plain:
            return plain[name]
    shown = ", ".join(repr(column[:40]) for column in columns[:12])
    raise UserError(
        where,
        f"no {kind} column among its columns {shown}",
        f"Call it {usual[0]!r}, or name it: --set data.{kind}_column=NAME",
    )


def _plain(column: str) -> str:
    return re.sub(r"[\s\-.]+", "_", column.strip().lower())


def _check_rows(where: str, whole: int, bad: Sequence[str], limit: float) -> None:
    if len(bad) > limit * (whole + len(bad)):
        shown = "".join(f"\n  {line}" for line in bad[:10])
        raise UserError(
            where,
            f"{len(bad)} rows have more fields than the header:{shown}",
            "Put captions that hold the delimiter in double quotes",
        )


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(dropped.items()))
