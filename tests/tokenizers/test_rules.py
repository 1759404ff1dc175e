"""A token comes apart as its own library would make it of less."""

from __future__ import annotations

import json
from typing import Any

import pytest
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Tokenizer as Backend
from tokenizers import models, processors

from tinyclip.tokenizers.pieces import Pieces
from tinyclip.tokenizers.rules import pieces_of
from tinyclip.tokenizers.trimmed import TrimmedTokenizer


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_a_clip_token_is_split_where_the_merges_file_joined_it(
    small: Any, share: float
) -> None:
    stock_clip = SimpleTokenizer(bpe_path=str(small.merges))
    merges = list(stock_clip.bpe_ranks)  # the id of a merge's token is 512 + its line
    tokenizer = small.trimmed("clip", share)
    kept = set(tokenizer.kept)

    def undone(number: int) -> list[int]:
        if number in kept:
            return [number]
        left, right = (stock_clip.encoder[part] for part in merges[number - 512])
        return undone(left) + undone(right)

    for number in range(8192):
        assert list(tokenizer.pieces.split(number, kept)) == undone(number)


def test_a_gemma_token_is_split_where_the_stock_bpe_joins_it_last(small: Any) -> None:
    spec = json.loads(small.gemma().to_str())
    vocab, pieces = spec["model"]["vocab"], pieces_of(small.full("gemma"))
    tokens = {number: token for token, number in vocab.items()}
    several = 0
    for number in range(300, len(tokens)):  # all are merged
        token = tokens[number]
        ways = [pair for pair in spec["model"]["merges"] if "".join(pair) == token]
        several += len(ways) > 1
        merges = [tuple(pair) for pair in spec["model"]["merges"] if pair not in ways]
        halves = models.BPE(vocab=vocab, merges=merges).tokenize(token)
        assert pieces.parts(number) == tuple(half.id for half in halves)  # type: ignore[attr-defined]
    assert several > 10


def test_a_character_of_gemma_that_was_not_kept_is_spelt_in_bytes(small: Any) -> None:
    tokenizer = TrimmedTokenizer(small.full("gemma"), [])
    vocab = json.loads(small.gemma().to_str())["model"]["vocab"]
    expected = [vocab[f"<0x{byte:02X}>"] for byte in "ü".encode()]
    ids = tokenizer.full_ids(tokenizer("ü"))[0, :2]
    assert vocab["ü"] not in tokenizer.kept and ids.tolist() == expected


@pytest.mark.parametrize("kind", ["unigram", "unigram without bytes"])
def test_a_unigram_token_is_split_as_the_stock_model_over_the_kept_pieces_does(
    small: Any,
    kind: str,
) -> None:
    model = json.loads(small.unigram(kind == "unigram").to_str())["model"]
    tokenizer = small.trimmed(kind)
    reduced = models.Unigram(
        [tuple(model["vocab"][number]) for number in tokenizer.kept],
        tokenizer.kept.index(small.full(kind).hf.unk_token_id),
        kind == "unigram",
    )
    split = 0
    for number, (piece, _) in enumerate(model["vocab"]):
        if number in tokenizer.kept:
            continue
        spelt = tokenizer.pieces.split(number, set(tokenizer.kept))
        expected = [token.id for token in reduced.tokenize(piece)]
        assert [tokenizer.kept.index(part) for part in spelt] == expected
        split += len(spelt) > 1
    assert split > 10


def test_a_wordpiece_is_split_longest_piece_first_as_the_stock_model_does(
    small: Any,
) -> None:
    vocab = json.loads(small.wordpiece().to_str())["model"]["vocab"]
    tokenizer = small.trimmed("wordpiece")
    names = {number: token for token, number in vocab.items()}
    places = {names[number]: place for place, number in enumerate(tokenizer.kept)}
    reduced = models.WordPiece(places, unk_token="[UNK]")
    for number, name in names.items():
        if name.startswith(("##", "[")):
            continue
        spelt = tokenizer.pieces.split(number, set(tokenizer.kept))
        expected = [token.value for token in reduced.tokenize(name)]
        assert [names[piece] for piece in spelt] == expected


def test_what_nothing_smaller_spells_is_always_kept(small: Any, kind: str) -> None:
    least = TrimmedTokenizer(small.full(kind), [])
    pieces: Pieces = least.pieces
    assert set(least.kept) == pieces.always
    for number in range(small.full(kind).vocab_size):
        assert set(pieces.split(number, pieces.always)) <= pieces.always
    number = min(pieces.always)
    with pytest.raises(ValueError, match="must be kept"):
        pieces.split(number, [])


def test_what_a_template_puts_around_a_caption_is_always_kept(small: Any) -> None:
    backend = Backend.from_str(small.unigram(True).to_str())
    always = pieces_of(small.full("unigram")).always
    number = min(set(range(backend.get_vocab_size())) - always)
    backend.post_processor = processors.TemplateProcessing(
        single="around $A", special_tokens=[("around", number)]
    )
    tokenizer = small.hf(backend, 8, unk_token="<unk>", pad_token="<pad>")
    assert number in pieces_of(tokenizer).always


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_the_models_unknown_token_is_always_kept(small: Any, kind: str) -> None:
    backend = small.unigram(True) if kind == "unigram" else small.wordpiece()
    spec = json.loads(backend.to_str())
    spec["added_tokens"] = []  # nothing else says that it is special
    unknown = backend.token_to_id("<unk>" if kind == "unigram" else "[UNK]")
    names = {"pad_token": "<pad>" if kind == "unigram" else "[PAD]"}
    tokenizer = small.hf(Backend.from_str(json.dumps(spec)), 8, **names)
    assert unknown in pieces_of(tokenizer).always
