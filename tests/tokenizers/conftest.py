"""Small tokenizers of every kind that can be trimmed, trained in a moment."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from open_clip.tokenizer import bytes_to_unicode
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerFast

import tinyclip
from tinyclip.tokenizers.clip import ClipTokenizer
from tinyclip.tokenizers.huggingface import HfTokenizer
from tinyclip.tokenizers.trimmed import TrimmedTokenizer

MERGES = Path(tinyclip.__file__).parent / "formats/builtin/pictoclip/bpe_8192.txt.gz"
WORDS = (
    "a the photo of cat cats dog house houses red blue running runner strawberries "
    "mountain mountains über café naïve bicycle bicycles quick quickly banana under"
).split()
LETTERS = {letter: byte for byte, letter in bytes_to_unicode().items()}
BYTES = [f"<0x{value:02X}>" for value in range(256)]
LONG = 1024  # ids a caption: nothing is cut
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


def turned(backend: Backend, by: int = 20) -> Backend:
    """The same vocabulary with other ids, so that the specials are not the first."""
    spec = json.loads(backend.to_str())
    model = spec["model"]
    vocab = model["vocab"]
    count = len(vocab)
    if isinstance(vocab, list):
        model["vocab"] = vocab[-by:] + vocab[:-by]
        model["unk_id"] = (model["unk_id"] + by) % count
    else:
        model["vocab"] = {token: (old + by) % count for token, old in vocab.items()}
    for entry in spec["added_tokens"]:
        entry["id"] = (entry["id"] + by) % count
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
    backend = backend if fallback else turned(backend)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", backend.token_to_id("</s>"))]
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
    backend = turned(backend)
    backend.decoder = decoders.WordPiece(cleanup=False)
    ends = [(token, backend.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    backend.post_processor = processors.BertProcessing(*ends)
    return backend


@cache
def full(kind: str, length: int = LONG) -> Any:
    """A full tokenizer of each kind: CLIP's, SigLIP's, SigLIP 2's, CLIPA's."""
    if kind == "clip":
        return ClipTokenizer(MERGES.read_bytes(), length)
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
    if isinstance(tokenizer, ClipTokenizer):
        vocab = {number: token for token, number in tokenizer.encoder.items()}
        marks = {"<start_of_text>", "<end_of_text>"}
        ids = ids[: len(ids) - ids[::-1].index(tokenizer.vocab_size - 1)]  # no padding
        text = "".join(vocab[i] for i in ids if vocab[i] not in marks)
        text = text.replace("</w>", "Ġ")  # the letter of a space
        raw = bytes(LETTERS[letter] for letter in text)
        return raw.decode(errors="replace")
    return str(tokenizer.hf.decode(ids, skip_special_tokens=True))


@dataclass(frozen=True)
class Small:
    """The functions above, for tests."""

    full: Any = staticmethod(full)
    trimmed: Any = staticmethod(trimmed)
    decode: Any = staticmethod(decode)
    sentences: Any = staticmethod(sentences)
    hf: Any = staticmethod(hf)
    gemma: Any = staticmethod(trained_gemma)
    unigram: Any = staticmethod(trained_unigram)
    wordpiece: Any = staticmethod(trained_wordpiece)
    merges: Path = MERGES


@pytest.fixture(scope="session")
def small() -> Small:
    return Small()


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
