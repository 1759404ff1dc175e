"""Which rules a tokenizer's vocabulary comes apart by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .clip import ClipTokenizer
from .merges import MergePieces
from .pieces import Pieces, byte_token
from .protocol import TokenizerLike
from .unigram import UnigramPieces, WordPieces

CLIP_BYTES = 512  # CLIP's symbols: each byte inside a word, and at its end
SUFFIX = "</w>"


def pieces_of(tokenizer: TokenizerLike) -> Pieces:
    """How the tokens of a tokenizer come apart.

    Raises:
        UserError: it is of a kind that cannot be trimmed.
    """
    if isinstance(tokenizer, ClipTokenizer):
        return _clip_pieces(tokenizer)
    hf = getattr(tokenizer, "hf", tokenizer)
    backend = getattr(hf, "backend_tokenizer", None)
    if backend is None:
        raise _refused(f"a {type(hf).__name__}, which has no tokenizer.json")
    spec = json.loads(backend.to_str())
    specials = _specials(tokenizer, spec)
    return _pieces(spec["model"], specials)


def _clip_pieces(tokenizer: ClipTokenizer) -> MergePieces:
    vocab, ranks = tokenizer.encoder, tokenizer.bpe_ranks
    # after the symbols and what the merges make: the marks of start and end
    marks = range(CLIP_BYTES + len(ranks), max(vocab.values()) + 1)
    # a line that is no pair merges nothing
    merges = [pair for pair in ranks if len(pair) == 2]
    return MergePieces(vocab, merges, suffix=SUFFIX, specials=marks)


def _pieces(model: Mapping[str, Any], specials: frozenset[int]) -> Pieces:
    """Of the `model` part of a tokenizer.json."""
    kind = model.get("type")
    if kind == "BPE" and not model.get("continuing_subword_prefix"):
        vocab = model["vocab"]
        return MergePieces(
            vocab,
            [pair_of(merge) for merge in model["merges"]],
            suffix=model.get("end_of_word_suffix") or "",
            byte_fallback=_falls_back(model, vocab),
            specials=specials,
        )
    if kind == "Unigram":
        listed = [(str(piece), float(score)) for piece, score in model["vocab"]]
        fallback = _falls_back(model, {piece for piece, _ in listed})
        return UnigramPieces(listed, byte_fallback=fallback, specials=specials)
    if kind == "WordPiece":
        prefix = model["continuing_subword_prefix"]
        return WordPieces(model["vocab"], prefix=prefix, specials=specials)
    raise _refused(f"a {kind} model")


def pair_of(merge: str | list[str]) -> tuple[str, str]:
    """A merge of a tokenizer.json: a list, or in older files two words."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _falls_back(model: Mapping[str, Any], tokens: Any) -> bool:
    return bool(model.get("byte_fallback")) and all(
        byte_token(value) in tokens for value in range(256)
    )


def _specials(tokenizer: Any, spec: Mapping[str, Any]) -> frozenset[int]:
    """Ids that stand for no text of their own, or are found before any rule."""
    model = spec["model"]
    special_ids = {added["id"] for added in spec.get("added_tokens") or ()}
    special_ids |= set(tokenizer.hf.all_special_ids)
    special_ids |= set(framing_ids(spec.get("post_processor")))
    if isinstance(model.get("unk_id"), int):
        special_ids.add(model["unk_id"])
    elif model.get("unk_token") in model["vocab"]:
        special_ids.add(model["vocab"][model["unk_token"]])
    if getattr(tokenizer, "strip_sep", False):
        special_ids.add(0)  # what the separator becomes
    return frozenset(number for number in special_ids if number < tokenizer.vocab_size)


def framing_ids(processor: Any) -> list[int]:
    """The ids that a post-processor of a tokenizer.json puts around a text."""
    if not isinstance(processor, dict):
        return []
    nested = [framing_ids(part) for part in processor.get("processors", ())]
    special = processor.get("special_tokens")
    marks = [entry["ids"] for entry in special.values()] if special else []
    pairs = [[processor[key][1]] for key in ("sep", "cls") if key in processor]
    return [number for group in (*nested, *marks, *pairs) for number in group]


def _refused(what: str) -> UserError:
    return UserError(
        "--vocab",
        f"the tokenizer is {what}, and only BPE, unigram and WordPiece can be trimmed",
        "Leave --vocab away",
    )
