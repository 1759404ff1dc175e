"""A trimmed vocabulary as transformers keeps it: the `tokenizer.json` of what is left.

It makes the ids of our trimmed tokenizer wherever every token of the caption was kept:
a merge, or a segmentation, that wins among all wins among those that stay. A token that
was not kept may come apart differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..model.files import read_json, write_json
from ..model.trees import pair_of

FILE = "tokenizer.json"


def trim_file(folder: Path, kept: Sequence[int]) -> None:
    """Take all other ids out of a folder's `tokenizer.json`.

    Args:
        kept: ids, ascending, specials among them; each becomes its place.
    """
    spec = read_json(folder / FILE)
    places = {number: place for place, number in enumerate(kept)}
    spec["model"] = _model(spec["model"], places)
    spec["added_tokens"] = [
        {**added, "id": places[added["id"]]}
        for added in spec.get("added_tokens") or ()
        if added["id"] in places
    ]
    _renumber(spec.get("post_processor"), places)
    write_json(folder / FILE, spec)


def _model(model: dict[str, Any], places: dict[int, int]) -> dict[str, Any]:
    """The `model` part with the kept tokens alone."""
    made = dict(model)
    if model["type"] == "Unigram":
        made["vocab"] = [model["vocab"][n] for n in places if n < len(model["vocab"])]
        if model.get("unk_id") is not None:
            made["unk_id"] = places[model["unk_id"]]
        return made
    left = {t: places[n] for t, n in model["vocab"].items() if n in places}
    made["vocab"] = left
    if "merges" in model:
        pairs = [pair_of(merge) for merge in model["merges"]]
        made["merges"] = [
            [one, two]
            for one, two in pairs
            if one in left and two in left and one + two in left
        ]
    return made


def _renumber(processor: Any, places: dict[int, int]) -> None:
    """Give the specials that stand around a caption their new ids, in place."""
    if not isinstance(processor, dict):
        return
    for one in processor.get("processors", ()):
        _renumber(one, places)
    for entry in (processor.get("special_tokens") or {}).values():
        entry["ids"] = [places[number] for number in entry["ids"]]
    for key in ("sep", "cls"):
        if key in processor:
            token, number = processor[key]
            processor[key] = [token, places[number]]
