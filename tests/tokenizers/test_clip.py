"""Token ids are open_clip's, from a vocabulary file that goes with the model."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from tinyclip.errors import UserError
from tinyclip.model.store import Loaded
from tinyclip.tokenizers.clip import FILE, ClipTokenizer

CAPTIONS = ["a cat", "", "Two CATS &amp; 12 dögs!", "long " * 40]


def test_ids_are_those_of_open_clips_own_tokenizer() -> None:
    stock = SimpleTokenizer(context_length=12)
    assert torch.equal(ClipTokenizer(None, 12)(CAPTIONS), stock(CAPTIONS))


def test_a_truncated_vocabulary_ends_with_start_and_end_of_text(
    pico_loaded: Loaded,
) -> None:
    # 512 byte symbols, 2 merges, 2 marks; "cat</w>" is the second merge
    assert pico_loaded.tokenizer("cat").tolist() == [[514, 513, 515, 0, 0, 0, 0, 0]]


def test_a_long_caption_is_cut_and_keeps_its_end(pico_loaded: Loaded) -> None:
    assert pico_loaded.tokenizer("cat " * 20)[0, -1] == 515


def test_a_saved_tokenizer_loads_as_the_same(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    tokenizer = pico_loaded.tokenizer
    tokenizer.save(tmp_path)
    again = ClipTokenizer.load(tmp_path, tokenizer.to_dict())
    assert torch.equal(again(CAPTIONS), tokenizer(CAPTIONS))


def test_only_clips_own_vocabulary_is_stock(pico_loaded: Loaded) -> None:
    assert ClipTokenizer(None, 8).is_stock
    assert not pico_loaded.tokenizer.is_stock


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"#v\nc a", mtime=0)[:-9],
        gzip.compress(b"\xff\xfe", mtime=0),
    ],
    ids=["no gzip", "cut off", "no utf-8"],
)
def test_a_damaged_vocabulary_is_a_user_error(
    pico_loaded: Loaded, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError, match="is no tokenizer file"):
        ClipTokenizer.load(tmp_path, pico_loaded.tokenizer.to_dict())


def test_settings_that_lack_a_key_are_a_user_error(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="context_length"):
        pico_loaded.tokenizer.save(tmp_path)
        ClipTokenizer.load(tmp_path, {"file": FILE, "clean": "lower"})
