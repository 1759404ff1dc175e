"""A trimmed vocabulary writes every text, with the ids of the full one where it can."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerFast

import tinyclip
from tinyclip.errors import UserError
from tinyclip.model.pieces import Pieces
from tinyclip.model.stock import stock
from tinyclip.model.tokenizer import Tokenizer, TokenizerLike, load_tokenizer
from tinyclip.model.tokenizer_hf import HfTokenizer
from tinyclip.model.trees import pieces_of
from tinyclip.model.vocabulary import FILE, TrimmedTokenizer

MERGES = Path(tinyclip.__file__).parent / "adapters/builtin/pictoclip/bpe_8192.txt.gz"
WORDS = (
    "a the photo of cat cats dog house houses red blue running runner strawberries "
    "mountain mountains über café naïve bicycle bicycles quick quickly banana under"
).split()
LETTERS = {letter: byte for byte, letter in bytes_to_unicode().items()}
BYTES = [f"<0x{value:02X}>" for value in range(256)]
LONG, SHORT = 1024, 8  # ids a caption: nothing is cut, nearly everything is
KINDS = ("clip", "unigram", "unigram without bytes", "gemma", "wordpiece")


def sentences() -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=7)) for _ in range(300)]


def hf(backend: Backend, length: int, **names: str) -> HfTokenizer:
    return HfTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=backend, **names), length
    )


def without_added_bytes(backend: Backend, **model: Any) -> Backend:
    """Byte tokens as sentencepiece has them: no added tokens, found by no text."""
    spec = json.loads(backend.to_str())
    spec["model"] |= model
    spec["added_tokens"] = [
        entry for entry in spec["added_tokens"] if entry["content"] not in BYTES
    ]
    return Backend.from_str(json.dumps(spec))


@cache
def trained_unigram(fallback: bool) -> Backend:
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<pad>", "</s>", "<unk>", *(BYTES if fallback else [])]
    backend.train_from_iterator(
        sentences(),
        UnigramTrainer(
            vocab_size=150 + len(specials),
            special_tokens=specials,
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    backend = without_added_bytes(backend, byte_fallback=fallback)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return backend


@cache
def trained_gemma() -> Backend:
    """Every way to make a token is a merge, as conversion from sentencepiece does."""
    backend = Backend(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    trainer = BpeTrainer(
        vocab_size=400, special_tokens=[*specials, *BYTES], show_progress=False
    )
    backend.train_from_iterator(sentences(), trainer)
    spec = json.loads(backend.to_str())
    vocab = spec["model"]["vocab"]
    merges = [
        [token[:cut], token[cut:]]
        for token in sorted(vocab, key=vocab.__getitem__)
        if token not in BYTES and token not in specials
        for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab
    ]
    backend = without_added_bytes(backend, merges=merges)
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    return backend


@cache
def trained_wordpiece() -> Backend:
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=160,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        show_progress=False,
    )
    backend.train_from_iterator(sentences(), trainer)
    backend.decoder = decoders.WordPiece(cleanup=False)
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return backend


@cache
def full(kind: str, length: int = LONG) -> Any:
    """A full tokenizer of each kind: CLIP's, SigLIP's, SigLIP 2's, CLIPA's."""
    if kind == "clip":
        return Tokenizer(MERGES.read_bytes(), length)
    if kind == "gemma":
        names = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<pad>"}
        return hf(trained_gemma(), length, **names)
    if kind == "wordpiece":
        names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
        return hf(trained_wordpiece(), length, cls_token="[CLS]", **names)
    backend = trained_unigram(kind == "unigram")
    # the end is the padding, as in SigLIP's
    return hf(backend, length, unk_token="<unk>", pad_token="</s>", eos_token="</s>")


@cache
def trimmed(kind: str, share: float = 0.3, length: int = LONG) -> TrimmedTokenizer:
    """A random share of the vocabulary is kept, with what must be."""
    whole = full(kind, length)
    draw = random.Random(1)
    kept = [i for i in range(whole.vocab_size) if draw.random() < share]
    return TrimmedTokenizer(whole, kept)


def decode(tokenizer: Any, ids: list[int]) -> str:
    if isinstance(tokenizer, Tokenizer):
        vocab = {number: token for token, number in tokenizer.encoder.items()}
        marks = {"<start_of_text>", "<end_of_text>"}
        stripped = "".join(vocab[i] for i in ids if vocab[i] not in marks).rstrip("!")
        text = stripped.replace("</w>", "Ġ")  # the letter of a space
        raw = bytes(LETTERS[letter] for letter in text)
        return raw.decode(errors="replace")
    return str(tokenizer.hf.decode(ids, skip_special_tokens=True))


captions = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.one_of(st.sampled_from(WORDS), st.text("abcdenrst üé中🙂!<", max_size=9)),
        max_size=12,
    ).map(" ".join),
)
few = settings(max_examples=60, deadline=None)


# what is lost: nothing


@pytest.mark.parametrize("kind", KINDS)
@few
@given(caption=captions)
@example("")
@example("🙂 strawberries 中文 ﬁ\x00 quickly!! " * 3)
@example("<eos> </s> <end_of_text> <0x41> ▁ ## [SEP] cats")
def test_mapped_ids_spell_the_text_of_the_full_ids(kind: str, caption: str) -> None:
    tokenizer = trimmed(kind)
    ids = tokenizer.full_ids(tokenizer(caption))[0].tolist()
    expected = full(kind)(caption)[0].tolist()
    assert decode(full(kind), ids) == decode(full(kind), expected)


@pytest.mark.parametrize("kind", KINDS)
@few
@given(caption=captions)
def test_what_was_kept_has_its_own_id_and_the_rest_at_least_one(
    kind: str, caption: str
) -> None:
    tokenizer, expected = trimmed(kind), full(kind)(caption)[0].tolist()
    kept = set(tokenizer.kept)
    ids = iter(tokenizer.full_ids(tokenizer(caption))[0].tolist())
    for number in expected:
        spelt = [number] if number in kept else tokenizer.pieces.split(number, kept)
        assert [next(ids, tokenizer._pad) for _ in spelt] == list(spelt)


@few
@given(caption=captions)
def test_an_unknown_token_stands_only_where_the_full_tokenizer_has_one(
    caption: str,
) -> None:
    tokenizer = trimmed("unigram without bytes")
    unknown = full("unigram without bytes").hf.unk_token_id
    ids = tokenizer.full_ids(tokenizer(caption))
    wanted = full("unigram without bytes")(caption).eq(unknown).sum()
    assert ids.eq(unknown).sum() == wanted


# how a token comes apart


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_a_clip_token_is_split_where_the_merges_file_joined_it(share: float) -> None:
    stock_clip = SimpleTokenizer(bpe_path=str(MERGES))
    merges = list(stock_clip.bpe_ranks)  # the id of a merge's token is 512 + its line
    tokenizer = trimmed("clip", share)
    kept = set(tokenizer.kept)

    def undone(number: int) -> list[int]:
        if number in kept:
            return [number]
        left, right = (stock_clip.encoder[part] for part in merges[number - 512])
        return undone(left) + undone(right)

    for number in range(8192):
        assert list(tokenizer.pieces.split(number, kept)) == undone(number)


def test_a_gemma_token_is_split_where_the_stock_bpe_joins_it_last() -> None:
    spec = json.loads(trained_gemma().to_str())
    vocab, pieces = spec["model"]["vocab"], pieces_of(full("gemma"))
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


def test_a_character_of_gemma_that_was_not_kept_is_spelt_in_bytes() -> None:
    tokenizer = TrimmedTokenizer(full("gemma"), [])
    vocab = json.loads(trained_gemma().to_str())["model"]["vocab"]
    expected = [vocab[f"<0x{byte:02X}>"] for byte in "ü".encode()]
    ids = tokenizer.full_ids(tokenizer("ü"))[0, :2]
    assert vocab["ü"] not in tokenizer.kept and ids.tolist() == expected


@pytest.mark.parametrize("kind", ["unigram", "unigram without bytes"])
def test_a_unigram_token_is_split_as_the_stock_model_over_the_kept_pieces_does(
    kind: str,
) -> None:
    model = json.loads(trained_unigram(kind == "unigram").to_str())["model"]
    tokenizer = trimmed(kind)
    reduced = models.Unigram(
        [tuple(model["vocab"][number]) for number in tokenizer.kept],
        tokenizer.kept.index(2),
        kind == "unigram",
    )
    split = 0
    for number in range(3, len(model["vocab"])):
        spelt = tokenizer.pieces.split(number, set(tokenizer.kept))
        expected = [token.id for token in reduced.tokenize(model["vocab"][number][0])]
        assert [tokenizer.kept.index(piece) for piece in spelt] == expected
        split += len(spelt) > 1
    assert split > 10


def test_a_wordpiece_is_split_longest_piece_first_as_the_stock_model_does() -> None:
    vocab = json.loads(trained_wordpiece().to_str())["model"]["vocab"]
    tokenizer = trimmed("wordpiece")
    names = {number: token for token, number in vocab.items()}
    places = {names[number]: place for place, number in enumerate(tokenizer.kept)}
    reduced = models.WordPiece(places, unk_token="[UNK]")
    for number in range(4, len(vocab)):
        if names[number].startswith("##"):
            continue
        spelt = tokenizer.pieces.split(number, set(tokenizer.kept))
        expected = [token.value for token in reduced.tokenize(names[number])]
        assert [names[piece] for piece in spelt] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_nothing_smaller_spells_is_always_kept(kind: str) -> None:
    least = TrimmedTokenizer(full(kind), [])
    pieces: Pieces = least.pieces
    assert set(least.kept) == pieces.always
    for number in range(full(kind).vocab_size):
        assert set(pieces.split(number, pieces.always)) <= pieces.always
    one = min(pieces.always)
    with pytest.raises(ValueError, match="must be kept"):
        pieces.split(one, [])


# the layout of a caption


@pytest.mark.parametrize("kind", KINDS)
@few
@given(caption=captions)
@example("")
@example("bicycles " * 9)
def test_a_caption_is_cut_ended_and_padded_as_the_full_tokenizer_does(
    kind: str, caption: str
) -> None:
    tokenizer = trimmed(kind, length=SHORT)
    ids = tokenizer.full_ids(tokenizer(caption))[0].tolist()
    # the same caption, uncut: specials around the ids of its text
    uncut = trimmed(kind)
    whole = uncut.full_ids(uncut(caption))[0].tolist()
    pad = whole[-1]
    while whole and whole[-1] == pad:
        whole.pop()
    # SigLIP's end is its padding; the others' stands before it
    end = pad if kind.startswith("unigram") else whole.pop()
    expected = [*whole[: SHORT - 1], end]
    assert ids == expected + [pad] * (SHORT - len(expected))


def test_the_largest_clip_id_is_the_end_of_text() -> None:
    ids = trimmed("clip", length=SHORT)(["", "strawberries", "cat " * 50])
    end = trimmed("clip", length=SHORT).vocab_size - 1
    assert ids.max(dim=1).values.tolist() == [end] * 3
    assert ids[2, -1] == end


def test_a_tokenizer_that_pads_on_the_left_is_refused() -> None:
    tokenizer = hf(trained_gemma(), SHORT, pad_token="<pad>", padding_side="left")
    with pytest.raises(UserError, match="padding_side is left"):
        TrimmedTokenizer(tokenizer, [])


def test_a_model_without_pieces_is_refused() -> None:
    backend = Backend(models.WordLevel({"<pad>": 0, "a": 1}, unk_token="<pad>"))
    with pytest.raises(UserError, match="a WordLevel model"):
        TrimmedTokenizer(hf(backend, SHORT, pad_token="<pad>"), [])


def test_an_id_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="id 8192 does not exist"):
        TrimmedTokenizer(full("clip"), [8192])


# a stock tokenizer with the same vocabulary


@pytest.mark.parametrize("kind", KINDS)
@few
@given(caption=captions)
def test_the_stock_tokenizer_makes_the_same_ids_of_captions_made_of_kept_ids(
    kind: str, caption: str
) -> None:
    tokenizer, made = _trimmed_to_words(kind)
    expected = full(kind)(caption)
    assume(set(expected.flatten().tolist()) <= set(tokenizer.kept))
    assert torch.equal(made(caption), tokenizer(caption))
    assert torch.equal(tokenizer.full_ids(tokenizer(caption)), expected)


@cache
def _trimmed_to_words(kind: str) -> tuple[TrimmedTokenizer, TokenizerLike]:
    whole = full(kind)
    used = whole([*WORDS[::2], *"abcdenrst üé中🙂!<"]).unique().tolist()
    tokenizer = TrimmedTokenizer(whole, used)
    assert tokenizer.vocab_size < whole.vocab_size
    return tokenizer, stock(tokenizer)


@pytest.mark.parametrize("kind", KINDS)
@few
@given(caption=captions)
def test_the_stock_tokenizer_spells_the_same_text_of_any_caption(
    kind: str, caption: str
) -> None:
    tokenizer, made = _trimmed_to_words(kind)
    ids = tokenizer.full_ids(made(caption))[0].tolist()
    expected = full(kind)(caption)[0].tolist()
    assert decode(full(kind), ids) == decode(full(kind), expected)


def test_the_stock_tokenizer_may_spell_otherwise_what_was_not_kept() -> None:
    # "bc" is made first in full and was not kept: taken apart, "a" and "b" stay apart;
    # built up from the merges that are left, they are joined
    merges = gzip.compress(b"#version: 0.2\nb c</w>\na b", mtime=0)
    tokenizer = TrimmedTokenizer(Tokenizer(merges, SHORT), [513])
    assert tokenizer.kept == (*range(512), 513, 514, 515)
    a, b, c = (tokenizer("x" + letter)[0, 2] - 256 for letter in "abc")
    apart, built = tokenizer("abc")[0, 1:4].tolist(), stock(tokenizer)("abc")[0, 1:3]
    assert apart == [int(a), int(b), int(c) + 256]
    assert built.tolist() == [512, int(c) + 256]


# the model directory


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_loads_as_the_same(kind: str, tmp_path: Path) -> None:
    tokenizer = trimmed(kind, length=SHORT)
    tokenizer.save(tmp_path)
    spec = json.loads(json.dumps(tokenizer.to_dict()))
    again = load_tokenizer(tmp_path, spec)
    texts = ["", "strawberries 中", "a photo of cats"]
    assert again.vocab_size == tokenizer.vocab_size < full(kind).vocab_size
    assert torch.equal(again(texts), tokenizer(texts))


DAMAGES: dict[str, Callable[[list[int]], Any]] = {
    "no list of kept ids": lambda kept: {"kept": "all"},
    "cannot be read": lambda kept: None,
    "does not exist": lambda kept: {"kept": [*kept, 99999]},
    "are not the": lambda kept: {"kept": kept[1:]},
}


@pytest.mark.parametrize("message", DAMAGES)
def test_damaged_kept_ids_are_a_user_error(message: str, tmp_path: Path) -> None:
    tokenizer = trimmed("clip", length=SHORT)
    tokenizer.save(tmp_path)
    content = DAMAGES[message](list(tokenizer.kept))
    (tmp_path / FILE).unlink()
    if content is not None:
        (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path, tokenizer.to_dict())


def test_settings_that_lack_a_key_are_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vocab_size"):
        load_tokenizer(tmp_path, {"kind": "trimmed", "file": FILE})
