"""A column of classes: captions made of their names, and who has which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config.schema import Data
from ..errors import UserError
from .classes import class_captions, class_names

LABELLED = ("csv", "parquet", "tsv")  # sources that have such a column


@dataclass(frozen=True)
class Labelled:
    """What is made of a column of classes.

    Args:
        texts: the captions of each picture.
        labels: its class; None where some pictures have several.
        label_sets: its classes, in that case.
    """

    texts: Sequence[tuple[str, ...]]
    labels: Sequence[str] | None = None
    label_sets: Sequence[tuple[str, ...]] | None = None


def labelled(data: Data, cells: Sequence[tuple[str, ...]]) -> Labelled:
    """The captions and classes of pictures; without `data.label_column` the cells are
    captions.

    Args:
        cells: what the column holds of each picture: its classes, one a row.

    Raises:
        UserError: the file of names does not fit, or there is a single class.
    """
    if data.label_column is None or not len(cells):
        return Labelled(cells)
    keys = sorted({key for each in cells for key in each})
    names = class_names(data, keys)
    if len(set(names.values())) == 1:
        what = f"a single class, {names[keys[0]]!r}"
        raise UserError(data.source, what, "Give two classes or more")
    captions = {key: class_captions(names[key]) for key in keys}
    if all(len(each) == 1 for each in cells):
        return Labelled(
            [captions[key] for (key,) in cells], [names[key] for (key,) in cells]
        )
    sets = [tuple(dict.fromkeys(names[key] for key in each)) for each in cells]
    texts = [
        tuple(dict.fromkeys(text for key in each for text in captions[key]))
        for each in cells
    ]
    return Labelled(texts, label_sets=sets)


def refuse_unlabelled(data: Data, scheme: str) -> None:
    """Refuse a column of classes where a source has none.

    Raises:
        UserError: as said.
    """
    if data.label_column is not None and scheme not in LABELLED:
        raise UserError(
            "data.label_column",
            f"{data.source} is no table",
            f"Leave it out; only {', '.join(LABELLED)} have such columns",
        )
