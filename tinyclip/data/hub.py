"""`hf:NAME`: data sets of Hugging Face's library `datasets`, of the hub or on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config.schema import Data
from ..errors import UserError, nearest
from .broken import Dropped, reason
from .classes import class_captions, class_names
from .fields import (
    TEXT,
    Field,
    Kind,
    caption_column,
    described,
    fields_of,
    is_text,
    value_at,
)
from .parquets import IMAGES
from .pictures import parse_background, read_file
from .protocol import BARE
from .rows import RowPairs, picture_bytes, usable
from .swallowed import MARK, Swallowed, refuse_swallowed, swallowed, unclosed
from .tables import CAPTION_NAMES, find_column, usual_column

PIECE = 10_000  # rows
SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves
TEXTS = ("string", "large_string")
FROM_TABLES = ("csv", "imagefolder")  # the library's builders that read a CSV


class HubRows:
    """The pictures of a data set by row; its Arrow files are mapped, not read.

    Args:
        name: what `place` begins with.
        table: the data set with its image column alone, undecoded.
        column: the name of that.
    """

    def __init__(self, name: str, table: Any, column: str) -> None:
        self.name, self.table, self.column = name, table, column

    @property
    def licence(self) -> str | None:
        """What the data set's description says of it."""
        return getattr(self.table.info, "license", None) or None

    def key(self, row: int) -> str:
        return f"{row:08d}"

    def place(self, row: int) -> str:
        return f"{self.name}@{row}"

    def blocks(self) -> tuple[NDArray[np.int64], int] | None:
        return None

    def read(self, row: int) -> bytes:
        cell = self.table[row][self.column]
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        path = cell.get("path") if isinstance(cell, dict) else None
        if isinstance(content, str):
            content, path = None, content
        if content is not None or not path:
            return picture_bytes(content)
        return read_file(Path(str(path)))


def open_hub(data: Data, rest: str) -> RowPairs:
    """The pairs of ``NAME``, ``NAME#SPLIT`` or ``NAME#CONFIG/SPLIT``.

    NAME is a folder that `save_to_disk` wrote, one that `load_dataset` reads, or a name
    on the hub. Without a split it is ``train``, or the only one. Captions are a text
    column or lists of texts, or a field in a column; without one, captions are made of
    a class label (`classes`), and evaluation is zero-shot over the classes.

    Raises:
        UserError: the library is missing, the data set cannot be had, or lacks columns
            or usable rows.
    """
    where = data.source
    table = _load(where, rest)
    features = table.features
    image = _image_column(data, features)
    rows = HubRows(rest, _undecoded(table.select_columns([image]), image), image)
    dropped = Dropped()
    lost = _lost(table, rest, where)
    for each in lost.values():
        why = f"a text holds {each.rows} rows of its table: {MARK}"
        dropped.add("bad row", rows.key(each.row), why, each.rows)
    background = parse_background(data.background)
    if not data.captioned:
        bare = (None if row in lost else BARE for row in range(len(table)))
        kept, captions = usable(bare, rows.key, data.exclude, dropped)
        dropped.check(where, len(kept), data.max_broken_share)
        return RowPairs(where, rows, kept, captions, background, dropped)
    caption, field, labelled = _caption_column(data, features)
    by_label: list[str] = []
    cells: Iterator[Any] = (
        None if row in lost else value_at(cell, field)
        for row, cell in enumerate(_cells(table, caption))
    )
    if labelled:
        keys = features[caption].names
        names = class_names(data, keys)
        by_label = [names[key] for key in keys]
        cells = (_of_class(by_label, cell) for cell in cells)
    kept, captions = usable(cells, rows.key, data.exclude, dropped)
    dropped.check(where, len(kept), data.max_broken_share)
    labels = None
    if labelled:
        numbers = list(_cells(table, caption))
        labels = [by_label[numbers[row]] for row in kept]
    return RowPairs(where, rows, kept, captions, background, dropped, labels)


def _image_column(data: Data, features: Mapping[str, Any]) -> str:
    """The column of pictures.

    Raises:
        UserError: there is none, or one that holds something else.
    """
    where = data.source
    pictures = [name for name, kind in features.items() if _kind(kind) == "Image"]
    if data.image_column is None and pictures:
        return pictures[0]
    column = find_column(list(features), data.image_column, IMAGES, data.column, where)
    kind = features[column]
    if not (
        _kind(kind) == "Image"
        or getattr(kind, "dtype", "") in (*TEXTS, "binary", "large_binary")
        or {"bytes", "path"} & set(fields_of(_plain(kind)))
    ):
        raise UserError(
            where,
            f"the column {column!r} holds {described(_plain(kind))}, not pictures",
            f"Name another with --set data.{data.column}_column=NAME",
        )
    return column


def _caption_column(data: Data, features: Mapping[str, Any]) -> tuple[str, Field, bool]:
    """The column of captions, the field in it, and whether it numbers classes.

    Raises:
        UserError: there is none, or one that holds something else.
    """
    kinds = {name: _plain(feature) for name, feature in features.items()}
    classes = [name for name in features if _kind(features[name]) == "ClassLabel"]
    column = data.caption_column
    if column is None and classes:
        texts = [name for name, kind in kinds.items() if is_text(kind)]
        column = usual_column(texts, CAPTION_NAMES) or classes[0]
    if column in classes:
        return column, (), True
    return *caption_column(data.source, column, kinds), False


def _lost(table: Any, rest: str, where: str) -> dict[int, Swallowed]:
    """Rows of a table that others were taken for a part of.

    Raises:
        UserError: the table lies in a folder, where `csv:` reads it whole.
    """
    if table.info.builder_name not in FROM_TABLES:
        return {}
    columns = [name for name, kind in table.features.items() if _plain(kind) == TEXT]
    lost: dict[int, Swallowed] = {}
    for column in columns:
        lost |= {each.row: each for each in swallowed(_cells(table, column))}
    if lost:
        folder = Path(rest.partition("#")[0]).expanduser()
        refuse_swallowed(where, folder, [*lost.values()])
    return lost


def _load(where: str, rest: str) -> Any:
    """One split of a data set."""
    try:
        datasets: Any = import_module("datasets")
    except ImportError:
        raise UserError(
            where,
            "hf: sources need the library datasets, which is not installed",
            "Install it with: pip install 'tinyclip[hf]'",
        ) from None
    name, _, selection = rest.partition("#")
    config, _, split = selection.rpartition("/")
    folder = Path(name).expanduser()
    saved = any((folder / file).is_file() for file in SAVED)
    if saved and config:
        what = f"was saved to disk, which holds no configuration {config!r}"
        raise UserError(where, what, f"Write {name}#SPLIT")
    try:
        if saved:
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(
                str(folder) if folder.exists() else name, config or None
            )
    except Exception as error:  # the library and its hub client raise nearly anything
        raise UserError(
            where,
            f"cannot be loaded: {reason(error, 300)}",
            unclosed(folder) or "Check the name, or the network",
        ) from None
    if not isinstance(loaded, datasets.DatasetDict):
        return _unsplit(where, loaded, split or config)
    if not split:
        split = "train" if "train" in loaded or len(loaded) != 1 else next(iter(loaded))
    if split not in loaded:
        raise UserError(
            where,
            f"has no split {split!r}",
            f"{nearest(split, loaded)}; write {name}#SPLIT",
        )
    return loaded[split]


def on_hub(rest: str) -> str | None:
    """The name on the hub of what follows `hf:`; None where it is a folder on disk."""
    name = rest.partition("#")[0]
    return None if Path(name).expanduser().exists() else name


def _unsplit(where: str, table: Any, asked: str) -> Any:
    """A data set that was saved without its splits; it may know which one it was.

    Raises:
        UserError: a split is asked for that it is not.
    """
    own = str(table.split or "")
    if asked and asked != own:
        told = f"is the split {own!r} alone" if own else "has no splits"
        raise UserError(where, f"{told}, and {asked!r} is asked for", "Leave # away")
    return table


def _kind(feature: Any) -> str:
    return type(feature).__name__


def _plain(feature: Any) -> Kind:
    """What a column holds."""
    if isinstance(feature, dict):
        return {name: _plain(inner) for name, inner in feature.items()}
    if isinstance(feature, list):
        return [_plain(feature[0])]
    if hasattr(feature, "feature"):
        return [_plain(feature.feature)]
    kind = getattr(feature, "dtype", "")
    return TEXT if kind in TEXTS else str(kind or _kind(feature))


def _undecoded(table: Any, column: str) -> Any:
    if _kind(table.features[column]) != "Image":
        return table
    return table.cast_column(column, import_module("datasets").Image(decode=False))


def _cells(table: Any, column: str) -> Iterator[Any]:
    """A column's values, a piece at a time."""
    only = table.select_columns([column]).with_format("arrow")
    for start in range(0, len(only), PIECE):
        piece = only[start : start + PIECE]
        yield from piece.column(column).to_pylist()


def _of_class(names: Sequence[str], label: int | None) -> tuple[str, ...] | None:
    """Captions of a class; none where the label is missing (-1)."""
    if label is None or not 0 <= label < len(names):
        return None
    return class_captions(names[label])
