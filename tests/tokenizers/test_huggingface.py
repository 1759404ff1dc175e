"""Ids are those of the library that a tokenizer comes from; what is wrong is told."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.tokenizer import HFTokenizer
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tinyclip.errors import UserError
from tinyclip.tokenizers.huggingface import HfTokenizer, HubTokenizer, open_tokenizer
from tinyclip.tokenizers.load import load_tokenizer
from tinyclip.tokenizers.protocol import TokenizerLike

CAPTIONS = [
    "a cat",
    "",
    "Two CATS &amp; a  dog!",
    "a [SEP] cat",
    "red_square, a blue square " * 9,
]
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[BOS]", "[EOS]"]
WORDS = [
    "a",
    "cat",
    "two",
    "cats",
    "&",
    "dog",
    "!",
    "red",
    "square",
    "blue",
    "_",
    "Two",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BERT-like tokenizer that transformers saved: 18 ids."""
    backend = Backend(
        models.WordLevel({piece: i for i, piece in enumerate(MARKS + WORDS)}, "[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ["pad_token", "unk_token", "cls_token", "sep_token"]
    names += ["bos_token", "eos_token"]
    hf = PreTrainedTokenizerFast(
        tokenizer_object=backend, **dict(zip(names, MARKS, strict=True))
    )
    hf.save_pretrained(tmp_path / "words")
    return tmp_path / "words"


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
@pytest.mark.parametrize("strip_sep", [False, True])
@pytest.mark.parametrize("mode", [None, "clips"])
def test_ids_are_those_of_open_clips_wrapper(
    folder: Path, clean: str, strip_sep: bool, mode: str | None
) -> None:
    ours = open_tokenizer(folder, 12, clean=clean, strip_sep=strip_sep, mode=mode)
    stock = HFTokenizer(
        str(folder), 12, clean=clean, strip_sep_token=strip_sep, tokenizer_mode=mode
    )
    assert torch.equal(ours(CAPTIONS), stock(CAPTIONS))
    assert torch.equal(ours("a cat"), stock("a cat"))


def test_ids_are_those_of_transformers_when_nothing_is_cleaned(folder: Path) -> None:
    stock = AutoTokenizer.from_pretrained(folder)(
        CAPTIONS,
        padding="max_length",
        truncation=True,
        max_length=12,
        return_tensors="pt",
    )
    assert torch.equal(open_tokenizer(folder, 12)(CAPTIONS), stock.input_ids)


def test_a_saved_tokenizer_loads_as_the_same(folder: Path, tmp_path: Path) -> None:
    ours = open_tokenizer(folder, 12, clean="canonicalize", mode="clips", vocab_size=20)
    ours.save(tmp_path / "m")
    shutil.rmtree(folder)
    again = load_tokenizer(tmp_path / "m", json.loads(json.dumps(ours.to_dict())))
    assert torch.equal(again(CAPTIONS), ours(CAPTIONS))
    assert again.to_dict() == ours.to_dict()


def files(tokenizer: TokenizerLike, folder: Path) -> dict[str, bytes]:
    tokenizer.save(folder)
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_equal_tokenizers_are_equal_bytes_used_or_not(
    folder: Path, tmp_path: Path
) -> None:
    fresh, used = open_tokenizer(folder, 12), open_tokenizer(folder, 12)
    used(CAPTIONS)
    assert files(fresh, tmp_path / "one") == files(used, tmp_path / "two")


def test_a_tokenizer_json_is_read_with_the_settings_beside_it(folder: Path) -> None:
    ours = open_tokenizer(folder / "tokenizer.json", 12)
    assert torch.equal(ours(CAPTIONS), open_tokenizer(folder, 12)(CAPTIONS))


def test_a_lone_tokenizer_json_pads_if_it_says_with_what(folder: Path) -> None:
    expected = open_tokenizer(folder, 12)(CAPTIONS)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match="no padding token.*tokenizer_config.json"):
        open_tokenizer(folder / "tokenizer.json", 12)
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.enable_padding(pad_id=0, pad_token="[PAD]")
    backend.save(str(folder / "tokenizer.json"))
    assert torch.equal(
        open_tokenizer(folder / "tokenizer.json", 12)(CAPTIONS), expected
    )


def test_an_id_that_the_tower_does_not_have_is_told_with_its_caption(
    folder: Path,
) -> None:
    hf = open_tokenizer(folder, 12).hf
    hf.add_tokens(["dragon"])
    ours = HfTokenizer(hf, 12, vocab_size=18)
    ours("a cat")
    with pytest.raises(UserError, match="'a dragon'.*the id 18.*has 18 ids"):
        ours(["a cat", "a dragon"])


def test_a_tokenizer_of_more_pieces_than_the_tower_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="has 18 ids, the text tower 17"):
        open_tokenizer(folder, 12, vocab_size=17)


def test_added_marks_beyond_the_tower_are_no_reason_to_refuse(folder: Path) -> None:
    hf = AutoTokenizer.from_pretrained(folder)
    hf.add_tokens([f"<extra_id_{i}>" for i in range(100)], special_tokens=True)
    hf.save_pretrained(folder)
    assert open_tokenizer(folder, 12, vocab_size=18)("a cat").max() < 18


def break_json(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def drop_vocabulary(folder: Path) -> None:
    # transformers makes a tokenizer of bare marks of what is left, without a word
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    (folder / "config.json").write_text('{"model_type": "clip"}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "does not exist"),
        (break_json, "is no tokenizer"),
        (drop_vocabulary, "has no vocabulary"),
    ],
)
def test_a_missing_or_broken_tokenizer_is_a_user_error(
    folder: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(folder)
    with pytest.raises(UserError, match=f"--teacher: .*{message}.*tokenizer.json"):
        open_tokenizer(folder, 12, where="--teacher")


@pytest.mark.parametrize("wrong", [{"clean": "lowre"}, {"mode": "clip"}])
def test_a_setting_that_open_clip_lacks_is_refused(
    folder: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(UserError, match="unknown tokenizer setting.*Did you mean"):
        open_tokenizer(folder, 12, **wrong)  # type: ignore[arg-type]


def test_code_that_a_directory_brings_is_not_run(folder: Path) -> None:
    trap = folder / "ran"
    (folder / "mine.py").write_text(f"open({str(trap)!r}, 'w')")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": ["mine.Mine", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    open_tokenizer(folder, 12)
    assert not trap.exists()


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and a hub that does not answer."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "c"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")


def test_a_hub_tokenizer_is_described_without_loading(offline: None) -> None:
    ours = HubTokenizer("some/thing", 64, "canonicalize", True, None, 32_000)
    assert (ours.context_length, ours.vocab_size) == (64, 32_000)
    assert ours.to_dict()["clean"] == "canonicalize"


def test_without_a_network_it_says_what_to_add_and_soon(offline: None) -> None:
    ours = HubTokenizer("some/thing", 64, "canonicalize", False, None, 32_000)
    start = time.perf_counter()
    with pytest.raises(UserError, match="'some/thing'.*not answer.*,tokenizer=PATH"):
        ours("a cat")
    assert time.perf_counter() - start < 5


def test_a_hub_tokenizer_is_described_as_the_one_it_becomes(
    folder: Path, offline: None
) -> None:
    ours = HubTokenizer(str(folder), 12, "lower", True, "clips", 18)
    expected = open_tokenizer(
        folder, 12, clean="lower", strip_sep=True, mode="clips", vocab_size=18
    )
    assert ours.to_dict() == expected.to_dict()
    assert torch.equal(ours(CAPTIONS), expected(CAPTIONS))


@pytest.mark.parametrize("spec", [{"kind": "morse"}, {"kind": "hf", "folder": "x"}])
def test_a_tokenizer_that_is_not_known_or_not_whole_is_a_user_error(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match="config.json: .*(morse|context_length)"):
        load_tokenizer(tmp_path, spec)


def test_loading_beside_a_siglip_gives_no_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.json").write_text('{"model_type": "siglip"}')
    logging.Logger.warning_once.cache_clear()  # type: ignore[attr-defined]
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", said.append)
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [handler])
    open_tokenizer(folder, 12)(CAPTIONS)
    assert not said
