"""A stock tokenizer over the kept vocabulary makes the same ids of kept captions."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers import (
    CLIPTokenizer,
    GemmaTokenizer,
    T5Tokenizer,
)

from tinyclip.tokenizers.clip import ClipTokenizer
from tinyclip.tokenizers.huggingface import HfTokenizer
from tinyclip.tokenizers.protocol import TokenizerLike
from tinyclip.tokenizers.stock import renumber, stock
from tinyclip.tokenizers.trimmed import TrimmedTokenizer

# what is kept: half the words that the vocabularies were trained on
WORDS = (
    "a photo cat dog houses blue runner mountain over naïve bicycles quickly under"
).split()
CAPTIONS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.one_of(
            st.sampled_from(WORDS),
            st.text("abcdenrst üé中🙂!<", max_size=9),
        ),
        max_size=12,
    ).map(" ".join),
)
few = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much],  # captions of kept ids
)


@few
@given(caption=CAPTIONS)
def test_the_stock_tokenizer_makes_the_same_ids_of_captions_made_of_kept_ids(
    small: Any, kind: str, caption: str
) -> None:
    tokenizer, ours = _trimmed_to_words(small, kind)
    expected = small.full(kind)(caption)
    assume(set(expected.flatten().tolist()) <= set(tokenizer.kept))
    assert torch.equal(ours(caption), tokenizer(caption))
    assert torch.equal(tokenizer.full_ids(tokenizer(caption)), expected)


@cache
def _trimmed_to_words(small: Any, kind: str) -> tuple[TrimmedTokenizer, TokenizerLike]:
    whole = small.full(kind)
    used = whole([*WORDS, *"abcdenrst üé中🙂!<"]).unique().tolist()
    tokenizer = TrimmedTokenizer(whole, used)
    assert tokenizer.vocab_size < whole.vocab_size
    return tokenizer, stock(tokenizer)


@few
@given(caption=CAPTIONS)
def test_the_stock_tokenizer_spells_the_same_text_of_any_caption(
    small: Any, kind: str, caption: str
) -> None:
    tokenizer, ours = _trimmed_to_words(small, kind)
    ids = tokenizer.full_ids(ours(caption))[0].tolist()
    expected = small.full(kind)(caption)[0].tolist()
    assert small.decode(small.full(kind), ids) == small.decode(
        small.full(kind), expected
    )


@pytest.mark.parametrize("make", ["gemma", "wordpiece", "unigram without bytes"])
def test_every_id_in_a_tokenizer_json_is_that_of_the_token_that_had_it(
    small: Any, make: str
) -> None:
    before = json.loads(small.full(make).hf.backend_tokenizer.to_str())
    size = small.full(make).vocab_size
    special = set(small.full(make).hf.all_special_ids)
    kept = [number for number in range(size) if number % 3 or number in special]
    after = renumber(before, {number: place for place, number in enumerate(kept)})
    names = {number: token for token, number in _ids(before).items()}
    assert _ids(after) == {names[number]: i for i, number in enumerate(kept)}
    for entry in after["added_tokens"]:
        assert entry["id"] == _ids(after)[entry["content"]]
    if "unk_id" in after["model"]:
        assert after["model"]["vocab"][after["model"]["unk_id"]][0] == "<unk>"


def _ids(spec: dict[str, Any]) -> dict[str, int]:
    vocab = spec["model"]["vocab"]
    if isinstance(vocab, list):
        return {piece: number for number, (piece, _) in enumerate(vocab)}
    return dict(vocab)


@few
@given(caption=st.lists(st.sampled_from(WORDS), max_size=9))
def test_transformers_clip_tokenizer_over_the_kept_merges_makes_the_same_ids(
    small: Any,
    caption: list[str],
) -> None:
    tokenizer, theirs = _transformers_clip(small)
    text = " ".join(caption)
    ids = tokenizer(text)[0].tolist()
    end = ids.index(tokenizer.vocab_size - 1)
    assert theirs(text).input_ids == ids[: end + 1]


@cache
def _transformers_clip(small: Any) -> tuple[TrimmedTokenizer, CLIPTokenizer]:
    tokenizer, ours = _trimmed_to_words(small, "clip")
    assert isinstance(ours, ClipTokenizer)
    vocab = ours.encoder
    vocab["<|startoftext|>"] = vocab.pop("<start_of_text>")
    vocab["<|endoftext|>"] = vocab.pop("<end_of_text>")
    merges: Any = list(ours.bpe_ranks)
    return tokenizer, CLIPTokenizer(vocab=vocab, merges=merges)


@pytest.mark.parametrize("kind", [GemmaTokenizer, T5Tokenizer])
def test_tokenizer_classes_that_build_their_own_rules_get_a_stock_one_too(
    small: Any,
    kind: type[Any],
) -> None:
    gemma = kind is GemmaTokenizer
    model = json.loads((small.gemma() if gemma else small.unigram(True)).to_str())
    rules: dict[str, Any] = {"vocab": model["model"]["vocab"], "padding_side": "right"}
    if gemma:
        rules["merges"] = [tuple(pair) for pair in model["model"]["merges"]]
        rules["mask_token"] = "<unk>"
    else:
        rules |= {"vocab": [tuple(entry) for entry in rules["vocab"]], "extra_ids": 0}
    whole = HfTokenizer(kind(**rules), 24)
    texts = small.sentences()[:4]
    tokenizer = TrimmedTokenizer(whole, whole(texts).unique().tolist())
    ours = stock(tokenizer)
    assert isinstance(ours, HfTokenizer) and type(ours.hf) is kind
    assert torch.equal(ours(texts), tokenizer(texts))
    assert torch.equal(tokenizer.full_ids(ours(texts)), whole(texts))


def test_the_stock_tokenizer_may_spell_otherwise_what_was_not_kept() -> None:
    # "bc" is made first in full and was not kept: taken apart, "a" and "b" stay apart;
    # built up from the merges that are left, they are joined
    merges = gzip.compress(b"#version: 0.2\nb c</w>\na b", mtime=0)
    tokenizer = TrimmedTokenizer(ClipTokenizer(merges, 8), [513])
    assert tokenizer.kept == (*range(512), 513, 514, 515)
    a, b, c = (tokenizer("x" + letter)[0, 2] - 256 for letter in "abc")
    apart, built = tokenizer("abc")[0, 1:4].tolist(), stock(tokenizer)("abc")[0, 1:3]
    assert apart == [int(a), int(b), int(c) + 256]
    assert built.tolist() == [512, int(c) + 256]
