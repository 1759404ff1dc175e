"""Bare sentencepiece files: SigLIP's tokenizer, or refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece
import torch
from transformers import SiglipTokenizer

from tinyclip.errors import UserError
from tinyclip.tokenizers.huggingface import open_tokenizer
from tinyclip.tokenizers.load import load_tokenizer

CAPTIONS = ["a cat", "", "Two CATS &amp; a  dog!", "red_square, a blue square " * 9]


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """A sentencepiece unigram file with SigLIP's marks."""
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a red square", "a cat and a dog", "two cats"] * 9),
        model_writer=buffer,
        vocab_size=40,
        user_defined_symbols=["<pad>"],
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    path = tmp_path / "spiece.model"
    path.write_bytes(buffer.getvalue())
    return path


def test_a_bare_sentencepiece_file_is_siglips_tokenizer(pieces: Path) -> None:
    stock = SiglipTokenizer(str(pieces))(
        CAPTIONS,
        padding="max_length",
        truncation=True,
        max_length=12,
        return_tensors="pt",
    )
    for path in (pieces, pieces.parent):
        ours = open_tokenizer(path, 12, siglip=True)
        assert torch.equal(ours(CAPTIONS), stock.input_ids)


def test_siglips_tokenizer_saved_loads_as_the_same(
    pieces: Path, tmp_path: Path
) -> None:
    ours = open_tokenizer(pieces, 12, siglip=True, clean="canonicalize")
    ours.save(tmp_path / "m")
    again = load_tokenizer(tmp_path / "m", ours.to_dict())
    assert torch.equal(again(CAPTIONS), ours(CAPTIONS))


def test_a_bare_sentencepiece_file_of_another_model_is_refused(pieces: Path) -> None:
    with pytest.raises(UserError, match="bare sentencepiece file"):
        open_tokenizer(pieces, 12)


def test_a_broken_sentencepiece_file_is_a_user_error(pieces: Path) -> None:
    pieces.write_bytes(b"junk")
    with pytest.raises(UserError, match="is no tokenizer"):
        open_tokenizer(pieces, 12, siglip=True)


def test_a_missing_library_is_named_with_how_to_get_it(
    pieces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path) -> None:
        raise ImportError("\nSiglipTokenizer requires SentencePiece\nand more")

    monkeypatch.setattr("tinyclip.tokenizers.files._read_pieces", missing)
    with pytest.raises(UserError, match="requires SentencePiece.*pip install"):
        open_tokenizer(pieces, 12, siglip=True)
