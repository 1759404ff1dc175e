"""`hf:NAME`: data sets of Hugging Face's library `datasets`, of the hub or on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config.schema import Data
from ..errors import UserError, nearest
from .broken import Broken, Dropped
from .folders import CLASS_TEMPLATES
from .parquets import IMAGES
from .pictures import parse_background, read_file
from .rows import RowPairs, usable
from .tables import CAPTION_NAMES, find_column

PIECE = 10_000  # rows


class HubRows:
    """The pictures of a data set by row; its Arrow files are mapped, not read.

    Args:
        name: what `place` begins with.
        table: the data set with its image column alone, undecoded.
        column: the name of that.
    """

    def __init__(self, name: str, table: Any, column: str) -> None:
        self.name, self.table, self.column = name, table, column

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
        if content is not None:
            return bytes(content)
        if not path:
            raise Broken("no picture", "null")
        return read_file(Path(path))


def open_hub(data: Data, rest: str) -> RowPairs:
    """The pairs of ``NAME``, ``NAME#SPLIT`` or ``NAME#CONFIG/SPLIT``.

    NAME is a folder that `save_to_disk` wrote, one that `load_dataset` reads, or a name
    on the hub. Without a split it is ``train``, or the only one. Captions are a text
    column or lists of texts; without one, a class label is a caption by
    `CLASS_TEMPLATES`, and evaluation is zero-shot over the classes.

    Raises:
        UserError: the library is missing, the data set cannot be had, or lacks columns
            or usable rows.
    """
    where = data.source
    table = _load(where, rest)
    features = table.features
    pictures = [name for name, kind in features.items() if _kind(kind) == "Image"]
    usual = (*pictures, *IMAGES) if pictures else IMAGES
    names = list(features)
    image = data.image_column or (
        pictures[0] if pictures else find_column(names, None, usual, "image", where)
    )
    find_column(names, image, (), "image", where)
    texts = [name for name in names if name != image and _is_text(features[name])]
    classes = [name for name in names if _kind(features[name]) == "ClassLabel"]
    labelled = None
    if data.caption_column in classes:
        labelled = data.caption_column
    elif data.caption_column is None and not _usual(texts) and classes:
        labelled = classes[0]
    column = labelled or find_column(
        texts, data.caption_column, CAPTION_NAMES, "caption", where
    )
    rows = HubRows(rest, _undecoded(table.select_columns([image]), image), image)
    cells: Iterator[Any] = _cells(table, column)
    if labelled:
        known = features[labelled].names
        cells = (_said(known, cell) for cell in cells)
    dropped = Dropped()
    kept, captions = usable(cells, rows.key, data.exclude, dropped)
    dropped.check(where, len(kept), data.max_broken_share)
    labels = _labels(table, labelled, kept) if labelled else None
    background = parse_background(data.background)
    return RowPairs(where, rows, kept, captions, background, dropped, labels)


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
    saved = ("dataset_dict.json", "state.json")
    try:
        if any((folder / file).is_file() for file in saved):
            found = datasets.load_from_disk(str(folder))
        else:
            found = datasets.load_dataset(
                str(folder) if folder.exists() else name, config or None
            )
    except Exception as error:  # the library and its hub client raise nearly anything
        reason = (str(error) or type(error).__name__).split("\n")[0][:300]
        raise UserError(
            where, f"cannot be loaded: {reason}", "Check the name, or the network"
        ) from None
    if not isinstance(found, datasets.DatasetDict):
        return found
    if not split:
        split = "train" if "train" in found or len(found) != 1 else next(iter(found))
    if split not in found:
        raise UserError(
            where,
            f"has no split {split!r}",
            f"{nearest(split, found)}; write {name}#SPLIT",
        )
    return found[split]


def _kind(feature: Any) -> str:
    return type(feature).__name__


def _is_text(feature: Any) -> bool:
    """Whether a column holds texts, or lists of texts."""
    inner = feature[0] if isinstance(feature, list) else feature
    inner = getattr(inner, "feature", inner)
    return getattr(inner, "dtype", "") in ("string", "large_string")


def _usual(names: Sequence[str]) -> bool:
    return any(name.lower() in CAPTION_NAMES for name in names)


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


def _said(names: Sequence[str], label: int | None) -> list[str] | None:
    """Captions of a class; none where the label is missing (-1)."""
    if label is None or not 0 <= label < len(names):
        return None
    name = " ".join(names[label].replace("_", " ").split())
    return [template.format(name) for template in CLASS_TEMPLATES]


def _labels(table: Any, column: str, kept: NDArray[np.int64]) -> list[str]:
    names = [
        " ".join(name.replace("_", " ").split())
        for name in table.features[column].names
    ]
    every = list(_cells(table, column))
    return [names[every[row]] for row in kept]
