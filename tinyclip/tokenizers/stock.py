"""A trimmed tokenizer as one of its library's own, for programs that have no other.

The library's own tokenizer over the kept vocabulary makes the same ids of a caption
that is made of kept ids alone, as those that chose the ids are (of one that is cut,
save in the word at the cut). Of other captions it makes ids that spell the same text
too, but it may spell it otherwise: it builds a word up from the merges or pieces that
are left, where a `TrimmedTokenizer` takes apart what the full one built. No stock
tokenizer does that: none maps one token to several ids.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .clip import ClipTokenizer
from .files import read_hf, save_hf
from .huggingface import HfTokenizer
from .merges import MergePieces
from .rules import pair_of
from .trimmed import TrimmedTokenizer

HEADER = "#version: 0.2"


def stock(tokenizer: TrimmedTokenizer) -> ClipTokenizer | HfTokenizer:
    """The tokenizer of the library that has the kept ids for its vocabulary.

    Raises:
        ValueError: the vocabulary has two tokens of one name, or merges that make no
            token.
    """
    full: Any = tokenizer.full
    if isinstance(full, ClipTokenizer):
        return _clip_tokenizer(full, tokenizer)
    return HfTokenizer(
        _hf_tokenizer(full.hf, tokenizer),
        full.context_length,
        clean=full.clean,
        strip_sep=full.strip_sep,
        mode=full.mode,
        vocab_size=tokenizer.vocab_size,
    )


def _clip_tokenizer(full: ClipTokenizer, tokenizer: TrimmedTokenizer) -> ClipTokenizer:
    """CLIP's tokenizer over fewer merges: an id is the place of its merge."""
    pieces = tokenizer.pieces
    assert isinstance(pieces, MergePieces)
    merges = pieces.merges_among(tokenizer.kept)
    # no newline at the end: it would add an empty merge
    lines = "\n".join([HEADER, *(" ".join(pair) for pair in merges)])
    fewer = ClipTokenizer(
        gzip.compress(lines.encode(), mtime=0), full.context_length, full.clean
    )
    ids = {token: place for place, token in enumerate(_kept_tokens(full, tokenizer))}
    if fewer.encoder != ids:
        raise ValueError("the vocabulary's merges do not make each token once")
    return fewer


def _kept_tokens(full: ClipTokenizer, tokenizer: TrimmedTokenizer) -> list[str]:
    names = {number: token for token, number in full.encoder.items()}
    return [names[number] for number in tokenizer.kept]


def _hf_tokenizer(hf: Any, tokenizer: TrimmedTokenizer) -> Any:
    """The same kind of transformers tokenizer over fewer tokens."""
    places = {number: place for place, number in enumerate(tokenizer.kept)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_hf(hf, folder)
        path = folder / "tokenizer.json"
        spec = renumber(json.loads(path.read_text(encoding="utf-8")), places)
        path.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
        _renumber_settings(folder / "tokenizer_config.json", places)
        return read_hf(folder)


def renumber(spec: Mapping[str, Any], places: Mapping[int, int]) -> dict[str, Any]:
    """A tokenizer.json with the kept tokens only, under their new ids.

    Args:
        places: the new id of each kept one.
    """
    added = [
        {**entry, "id": places[entry["id"]]}
        for entry in spec.get("added_tokens") or ()
        if entry["id"] in places
    ]
    return {
        **spec,
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "post_processor": _processor(spec.get("post_processor"), places),
        "model": _model(spec["model"], places),
    }


def _model(model: Mapping[str, Any], places: Mapping[int, int]) -> dict[str, Any]:
    if model["type"] == "Unigram":
        listed = [entry for i, entry in enumerate(model["vocab"]) if i in places]
        unknown = model.get("unk_id")
        return {
            **model,
            "vocab": listed,
            "unk_id": None if unknown is None else places[unknown],
        }
    vocab = {token: places[i] for token, i in model["vocab"].items() if i in places}
    if "merges" not in model:
        return {**model, "vocab": vocab}
    pairs = [pair_of(merge) for merge in model["merges"]]
    merges = [
        [left, right]
        for left, right in pairs
        if left in vocab and right in vocab and left + right in vocab
    ]
    return {**model, "vocab": vocab, "merges": merges}


def _processor(processor: Any, places: Mapping[int, int]) -> Any:
    """A post-processor whose specials have their new ids."""
    if not isinstance(processor, dict):
        return processor
    renumbered = dict(processor)
    if "processors" in renumbered:
        renumbered["processors"] = [
            _processor(part, places) for part in renumbered["processors"]
        ]
    if renumbered.get("special_tokens"):
        renumbered["special_tokens"] = {
            token: {**entry, "ids": [places[i] for i in entry["ids"]]}
            for token, entry in renumbered["special_tokens"].items()
        }
    for key in {"sep", "cls"} & set(renumbered):
        token, number = renumbered[key]
        renumbered[key] = [token, places[number]]
    return renumbered


def _renumber_settings(path: Path, places: Mapping[int, int]) -> None:
    """New ids in `added_tokens_decoder`, which older files have."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    listed = settings.get("added_tokens_decoder")
    if listed:
        settings["added_tokens_decoder"] = {
            str(places[int(number)]): entry
            for number, entry in listed.items()
            if int(number) in places
        }
        path.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
