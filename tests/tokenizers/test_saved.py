"""What transformers' files of a tokenizer say, and what they keep to themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tinyclip.tokenizers.files import read_hf
from tinyclip.tokenizers.huggingface import HfTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "two", "cats", "dog"]


def words() -> Any:
    """A BERT-like tokenizer of transformers: nine ids."""
    vocab = {piece: i for i, piece in enumerate(PIECES)}
    backend = Backend(models.WordLevel(vocab, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]"
    )


@pytest.mark.parametrize(
    "called",
    [
        {"padding": "max_length", "truncation": True, "max_length": 3},
        {"padding": "max_length", "truncation": True, "max_length": 512},
        {"padding": True, "pad_to_multiple_of": 7},
        {"truncation": "only_first", "max_length": 9, "stride": 2},
    ],
)
def test_how_a_tokenizer_was_last_called_is_not_saved(
    tmp_path: Path, called: dict[str, Any]
) -> None:
    plain, used = words(), words()
    used(["a cat"], **called)
    used.save_pretrained(tmp_path / "teacher")  # as a training script does
    for name, hf in (
        ("plain", plain),
        ("used", used),
        ("read", read_hf(tmp_path / "teacher")),
    ):
        HfTokenizer(hf, 8).save_pretrained(tmp_path / name)
    expected, *others = (
        {
            file: json.loads((tmp_path / name / file).read_text())
            for file in ("tokenizer.json", "tokenizer_config.json")
        }
        for name in ("plain", "used", "read")
    )
    for files in others:
        files["tokenizer_config.json"].pop("is_local", None)  # where it was read
        files["tokenizer_config.json"].pop("local_files_only", None)
        files["tokenizer_config.json"].pop("padding_side", None)
        files["tokenizer_config.json"].pop("truncation_side", None)
        assert files == expected


def test_settings_that_a_processor_would_call_it_with_are_not_saved(
    tmp_path: Path,
) -> None:
    words().save_pretrained(tmp_path / "teacher")
    path = tmp_path / "teacher" / "tokenizer_config.json"
    more = {"stride": 2, "max_length": 5, "return_length": True}
    auto = {"AutoTokenizer": ["tokens.Own", None]}
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, **more, "auto_map": auto}))
    HfTokenizer(read_hf(tmp_path / "teacher"), 8).save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert not set(saved) & {*more, "auto_map"}


def test_what_no_tokenizer_is_made_by_is_not_saved(tmp_path: Path) -> None:
    words().save_pretrained(tmp_path / "teacher")
    path = tmp_path / "teacher" / "tokenizer_config.json"
    wild = {"response_schema": "wild", "wild": {"a": 1}, "processor_class": "Wild"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **wild}))
    (tmp_path / "teacher" / "chat_template.jinja").write_text("{{ 'wild' }}")
    HfTokenizer(read_hf(tmp_path / "teacher"), 8).save_pretrained(tmp_path / "saved")
    files = sorted((tmp_path / "saved").iterdir())
    assert [file.name for file in files] == ["tokenizer.json", path.name]
    assert not [file for file in files if "wild" in file.read_text().lower()]


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_sides_on_which_it_pads_and_cuts_are_saved(
    tmp_path: Path, side: str
) -> None:
    hf = words()
    hf.padding_side = hf.truncation_side = side
    hf(["a cat"], padding="max_length", truncation=True, max_length=5)
    hf.save_pretrained(tmp_path / "teacher")
    ours = HfTokenizer(read_hf(tmp_path / "teacher"), 8)
    ours.save_pretrained(tmp_path / "saved")
    again = HfTokenizer(read_hf(tmp_path / "saved"), 8)
    texts = ["a cat two cats a dog a cat two cats", "a"]
    assert torch.equal(again(texts), ours(texts))
    assert (int(ours(["a"])[0, 0]) == 0) == (side == "left")  # 0 pads
