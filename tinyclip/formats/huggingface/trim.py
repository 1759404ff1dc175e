"""A trimmed vocabulary as transformers keeps it: the `tokenizer.json` of what is left.

It makes the ids of our trimmed tokenizer wherever every token of the caption was kept:
a merge, or a segmentation, that wins among all wins among those that stay. A token that
was not kept may come apart differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...files import read_json, write_json
from ...tokenizers.stock import renumber

FILE = "tokenizer.json"


def trim_file(folder: Path, kept: Sequence[int]) -> None:
    """Take all other ids out of a folder's `tokenizer.json`.

    Args:
        kept: ids, ascending, specials among them; each becomes its place.
    """
    places = {number: place for place, number in enumerate(kept)}
    write_json(folder / FILE, renumber(read_json(folder / FILE), places))
