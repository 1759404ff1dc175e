"""What is no CLIP of transformers that ours can be is told, and nothing is run."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tinyclip
from tinyclip.errors import UserError
from tinyclip.formats.huggingface.load import load_huggingface

Maker = Callable[..., Path]


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (b"",)


def test_a_pickle_that_needs_code_is_refused(hf_clip: Maker) -> None:
    folder = hf_clip()
    (folder / "model.safetensors").unlink()
    torch.save({"a": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickle that needs code.*safetensors"):
        load_huggingface(str(folder), "--teacher")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", r"config\.json: cannot be read"),
        ("model.safetensors", "has no weights"),
        ("preprocessor_config.json", "does not say how pictures are prepared"),
        ("tokenizer.json", "tokenizer.*add ,tokenizer=PATH"),
    ],
)
def test_a_missing_file_is_named(hf_clip: Maker, name: str, message: str) -> None:
    folder = hf_clip()
    (folder / name).unlink()
    with pytest.raises(UserError, match=message):
        load_huggingface(str(folder), "--teacher")


def rewritten(folder: Path, name: str, **changes: Any) -> Path:
    old = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**old, **changes}))
    return folder


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"architectures": 0}, "architectures is '0', not names"),
    ({"model_type": "siglip2", "architectures": ["Siglip2Model"]}, "NaFlex"),
    ({"model_type": "chinese_clip", "architectures": ["ChineseCLIPModel"]}, "BERT"),
    (
        {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"]},
        "image tower alone",
    ),
    ({"architectures": ["CLIPForImageClassification"]}, "no pair"),
    ({"model_type": "bert", "architectures": ["BertModel"]}, "BertModel is not supp"),
    ({"model_type": None, "architectures": None}, "is not supported"),
    ({"format_version": 1}, "without hf:"),
    ({"projection_dim": "many"}, "config.json is not of a CLIPModel"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_is_not_supported_is_refused_with_the_reason(
    hf_clip: Maker, changes: dict[str, Any], message: str
) -> None:
    folder = rewritten(hf_clip(), "config.json", **changes)
    with pytest.raises(UserError, match=message):
        load_huggingface(str(folder), "--teacher")


@pytest.mark.parametrize(
    ("tower", "changes", "message"),
    [
        ("vision_config", {"hidden_act": "relu"}, "hidden_act 'relu'.*quick_gelu"),
        ("text_config", {"eos_token_id": [1, 2]}, "is not one id"),
        ("vision_config", {"num_channels": 4}, "4 channels"),
        ("vision_config", {"image_size": [20, 28]}, "not square"),
        ("text_config", {"num_hidden_layers": 0}, "is 0, not a number from 1"),
        ("text_config", {"num_hidden_layers": 10**7}, "not a number from 1 to"),
        ("vision_config", {"patch_size": 0}, "patch_size is 0"),
        ("text_config", {"vocab_size": 10**12}, "vocab_size is 1000000000000"),
        ("text_config", {"hidden_size": 32}, "does not fit"),
    ],
)
def test_a_tower_that_ours_are_not_is_refused(
    hf_clip: Maker, tower: str, changes: dict[str, Any], message: str
) -> None:
    folder = hf_clip()
    old = json.loads((folder / "config.json").read_text())[tower]
    rewritten(folder, "config.json", **{tower: {**old, **changes}})
    with pytest.raises(UserError, match=message):
        load_huggingface(str(folder), "--teacher")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision": {"vision_use_head": False}}, "attention pool"),
        ({"text": {"projection_size": 16}}, "features of 16 and image features of 24"),
    ],
)
def test_a_siglip_that_ours_is_not_is_refused(
    hf_siglip: Maker, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_huggingface(str(hf_siglip(**change)), "--teacher")


def test_a_hub_id_without_a_network_says_how_to_pass_a_directory(
    no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    start = time.perf_counter()
    with pytest.raises(UserError, match="does not answer.*write hf:DIR"):
        load_huggingface("openai/clip-vit-base-patch32", "--teacher")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("spec", ["./gone", "a/b/c", "", "~nobody/x"])
def test_a_path_that_is_not_there_is_not_asked_of_the_hub(spec: str) -> None:
    with pytest.raises(UserError, match="no directory, and no id of the hub"):
        load_huggingface(spec, "--teacher")


def test_another_tokenizer_stands_in(
    hf_clip: Maker, hf_siglip: Maker, tmp_path: Path
) -> None:
    folder = hf_clip()
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    (folder / "tokenizer_config.json").rename(tmp_path / "tokenizer_config.json")
    loaded = tinyclip.load(f"hf:{folder},tokenizer={tmp_path}")
    assert loaded.tokenizer("cat")[0, :3].tolist() == [516, 513, 517]
