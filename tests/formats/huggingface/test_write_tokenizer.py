"""What `AutoTokenizer` reads makes the ids that our tokenizers make."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tinyclip.formats.huggingface.read_back import quiet
from tinyclip.formats.huggingface.write_tokenizer import (
    PAD,
    encode,
    ids_of,
    pad_source,
    same_ids,
    write_tokenizer,
)
from tinyclip.formats.source import load_source
from tinyclip.shapes import ClipShape, TextShape
from tinyclip.tokenizers.clip import ClipTokenizer
from tinyclip.tokenizers.huggingface import HfTokenizer, open_tokenizer
from tinyclip.tokenizers.trimmed import TrimmedTokenizer

CAPTIONS = [
    "a cat",
    "",
    "A Cat, a photo_of it!",
    "  the\tcat\n and  the (dog) ",
    "don't: o'clock?",
    "a ☃ cat",
    "a cat and a cat and a cat and a cat and a cat",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def unigram() -> Any:
    """A sentencepiece-like vocabulary, case kept, as of SigLIP: pad, eos, unk."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("▁zoo", -2.0), ("<unk>", 0.0)]
    pieces += [("▁", -3.0)]
    pieces += [(c, -5.0) for c in LETTERS + LETTERS.upper() + "!?,:()'_"]
    pieces += [("▁zebra", -2.0), ("▁cat", -2.0), ("▁the", -2.0), ("▁a", -2.5)]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=3))
    backend.normalizer = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        "$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def wordpiece() -> Any:
    """A BERT vocabulary; id 0 pads."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{c}" for c in LETTERS)]
    words += ["zebra", "cat", "the", *"!?,:()'_"]
    vocab = {word: number for number, word in enumerate(words)}
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


@pytest.fixture
def siglip_text(siglip_shape: ClipShape) -> TextShape:
    return siglip_shape.text


@pytest.mark.parametrize("clean", ["none", "lower", "whitespace", "canonicalize"])
def test_cleaning_is_built_in(
    siglip_text: TextShape, tmp_path: Path, clean: str
) -> None:
    ours = HfTokenizer(unigram(), 8, clean=clean)
    with quiet():
        theirs = write_tokenizer(ours, tmp_path, siglip_text)
    assert torch.equal(encode(theirs, CAPTIONS), ours(CAPTIONS))


def test_a_stripped_separator_is_id_0(siglip_text: TextShape, tmp_path: Path) -> None:
    ours = HfTokenizer(wordpiece(), 8, clean="whitespace", strip_sep=True)
    with quiet():
        theirs = write_tokenizer(ours, tmp_path, siglip_text)
    assert torch.equal(encode(theirs, CAPTIONS), ours(CAPTIONS))
    assert 3 not in encode(theirs, CAPTIONS)


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
def test_the_bpe_of_clip_is_cleaned_as_open_clip_cleans(
    siglip_text: TextShape, tmp_path: Path, clean: str
) -> None:
    ours = ClipTokenizer(load_source("builtin:pico").tokenizer.merges, 16, clean)
    text = replace(siglip_text, causal=True, pool="argmax", vocab_size=8192)
    with quiet():
        theirs = write_tokenizer(ours, tmp_path, text)
    assert all(same_ids(ours(CAPTIONS), encode(theirs, CAPTIONS), text))


def test_where_padding_counts_it_is_that_of_training(
    siglip_text: TextShape, tmp_path: Path
) -> None:
    ours = ClipTokenizer(load_source("builtin:pico").tokenizer.merges, 16)
    with quiet():
        theirs = write_tokenizer(ours, tmp_path, siglip_text)
    ids_BT = encode(theirs, CAPTIONS)
    assert theirs.pad_token == PAD
    assert theirs.pad_token_id == ours.vocab_size  # beyond every id that means a word
    assert pad_source(ours, theirs, siglip_text) == 0
    padded_BT = ids_BT == theirs.pad_token_id
    assert torch.equal(ids_BT.masked_fill(padded_BT, 0), ours(CAPTIONS))


def test_where_padding_does_not_count_no_token_is_added(
    pico_shape: ClipShape, tmp_path: Path
) -> None:
    ours = ClipTokenizer(load_source("builtin:pico").tokenizer.merges, 16)
    with quiet():
        theirs = write_tokenizer(ours, tmp_path, pico_shape.text)
    assert ids_of(theirs) == {"bos": 8190, "eos": 8191, "pad": 8191, "largest": 8191}


def test_a_tokenizer_gives_ids_and_no_mask(
    siglip_text: TextShape, tmp_path: Path
) -> None:
    with quiet():
        theirs = write_tokenizer(HfTokenizer(unigram(), 8), tmp_path, siglip_text)
    assert set(theirs(["cat"])) == {"input_ids"}
    assert theirs.model_max_length == 8


def trims() -> list[Any]:
    """Small tokenizers of each kind, and captions whose tokens are kept."""
    bpe = ClipTokenizer(load_source("builtin:pico").tokenizer.merges, 16)
    return [
        pytest.param(bpe, id="bpe"),
        pytest.param(
            ClipTokenizer(bpe.merges, 16, "canonicalize"), id="bpe-canonicalize"
        ),
        pytest.param(HfTokenizer(unigram(), 8), id="unigram"),
        pytest.param(HfTokenizer(wordpiece(), 8, strip_sep=True), id="wordpiece"),
    ]


@pytest.mark.parametrize("full", trims())
@pytest.mark.parametrize("padded", [True, False])
def test_a_trimmed_vocabulary_makes_the_same_ids_of_what_was_kept(
    siglip_text: TextShape, tmp_path: Path, full: Any, padded: bool
) -> None:
    kept = sorted(set(full(CAPTIONS).flatten().tolist()))
    ours = TrimmedTokenizer(full, kept)
    assert ours.vocab_size < full.vocab_size
    text = siglip_text if padded else replace(siglip_text, causal=True, pool="argmax")
    with quiet():
        theirs = write_tokenizer(ours, tmp_path, text)
    ids_BT, source = encode(theirs, CAPTIONS), pad_source(ours, theirs, text)
    if source is not None:
        ids_BT = ids_BT.masked_fill(ids_BT == theirs.pad_token_id, source)
    assert all(same_ids(ours(CAPTIONS), ids_BT, text))
    spec = json.loads((tmp_path / "tokenizer.json").read_text())
    backend = theirs.backend_tokenizer
    for added in spec["added_tokens"]:
        assert backend.token_to_id(added["content"]) == added["id"]
    assert ids_of(theirs)["largest"] < ours.vocab_size + (source is not None)


@pytest.mark.parametrize(
    ("pool", "causal", "same"),
    [
        ("argmax", True, [True, False]),
        ("eos", True, [True, False]),
        ("first", True, [True, True]),
        ("last", True, [False, False]),
        ("argmax", False, [False, False]),
    ],
)
def test_ids_are_compared_as_far_as_they_matter(
    siglip_text: TextShape, pool: Any, causal: bool, same: list[bool]
) -> None:
    text = replace(siglip_text, pool=pool, causal=causal, eos_id=9)
    # end-of-text is 9; an argmax looks no further than the first of the largest ids
    mine = torch.tensor([[7, 1, 9, 0], [7, 1, 2, 9]])
    theirs = torch.tensor([[7, 1, 9, 9], [7, 1, 3, 9]])
    assert same_ids(mine, theirs, text) == same


def test_an_end_of_text_that_is_not_the_largest_id_is_found(
    pico_shape: ClipShape,
) -> None:
    text = replace(pico_shape.text, pool="eos", eos_id=4)
    mine, theirs = torch.tensor([[7, 1, 4, 0]]), torch.tensor([[7, 1, 4, 4]])
    assert same_ids(mine, theirs, text) == [True]
    assert same_ids(mine, torch.tensor([[7, 2, 4, 4]]), text) == [False]


@pytest.mark.parametrize("length", [3, 512])
def test_how_the_teachers_tokenizer_was_last_called_does_not_travel(
    siglip_text: TextShape, tmp_path: Path, length: int
) -> None:
    used = unigram()
    used(["a cat"], padding="max_length", truncation=True, max_length=length)
    used.save_pretrained(tmp_path / "teacher")
    ours = open_tokenizer(tmp_path / "teacher", 8)
    with quiet():
        theirs = write_tokenizer(ours, tmp_path / "out", siglip_text)
    assert not set(theirs.init_kwargs) & {"max_length", "stride"}
    assert torch.equal(encode(theirs, CAPTIONS), ours(CAPTIONS))
