"""Models of transformers give the stock library's features, or say why they cannot."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from transformers import CLIPConfig, CLIPModel, SiglipConfig

import tinyclip
from tinyclip.formats.huggingface.config import shape_of
from tinyclip.formats.huggingface.keymap import from_huggingface
from tinyclip.formats.huggingface.load import load_huggingface
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded, load_model, save_model
from tinyclip.model.weights import fill

Maker = Callable[..., Path]
CAPTIONS = [
    "a cat",
    "Two CATS on a mat!",
    "",
    "a photo of a red square, left of a blue star, " * 4,
    "crème brûlée &amp; “tea”",
]


@torch.no_grad()
def features(loaded: Loaded, pictures: list[Image.Image]) -> list[torch.Tensor]:
    model, preprocess, tokenizer = loaded
    pixels = torch.stack([preprocess(picture) for picture in pictures])
    return [
        model.encode_image(pixels, normalize=True),
        model.encode_text(tokenizer(CAPTIONS), normalize=True),
    ]


def near(ours: Any, theirs: Any) -> bool:
    return all(
        (ours_BE - two).abs().max() <= 1e-5
        for ours_BE, two in zip(ours, theirs, strict=True)
    )


CLIPS: dict[str, dict[str, Any]] = {
    "first of end-of-text": {},
    "the largest id": {"text": {"eos_token_id": 2}},
    "another id ends": {"text": {"eos_token_id": 320}},
    "other activations": {
        "text": {"hidden_act": "quick_gelu"},
        "vision": {"hidden_act": "gelu_pytorch_tanh"},
    },
    "other eps": {"text": {"layer_norm_eps": 0.1}, "vision": {"layer_norm_eps": 0.01}},
}


@pytest.mark.parametrize("change", CLIPS.values(), ids=CLIPS.keys())
def test_a_clip_has_the_stock_features(
    hf_clip: Maker, pictures: Any, stock_features: Any, change: dict[str, Any]
) -> None:
    folder = hf_clip(**change)
    ours = features(load_huggingface(str(folder), "--teacher"), pictures)
    assert near(ours, stock_features(folder, pictures, CAPTIONS))


SIGLIPS: dict[str, dict[str, Any]] = {
    "default": {},
    "other activations": {"vision": {"hidden_act": "gelu"}},
    "other eps": {"text": {"layer_norm_eps": 0.1}, "vision": {"layer_norm_eps": 0.01}},
}


@pytest.mark.parametrize("change", SIGLIPS.values(), ids=SIGLIPS.keys())
def test_a_siglip_has_the_stock_features(
    hf_siglip: Maker, pictures: Any, stock_features: Any, change: dict[str, Any]
) -> None:
    folder = hf_siglip(**change)
    ours = features(load_huggingface(str(folder), "--teacher"), pictures)
    assert near(ours, stock_features(folder, pictures, CAPTIONS))


def test_scale_and_bias_are_the_stock_ones(hf_siglip: Maker) -> None:
    folder = hf_siglip()
    stock = tinyclip.load(f"hf:{folder}").model
    from transformers import SiglipModel

    theirs = SiglipModel.from_pretrained(folder)
    assert stock.logit_scale == theirs.logit_scale.item()
    assert stock.logit_bias == theirs.logit_bias.item()


@pytest.mark.parametrize("family", ["hf_clip", "hf_siglip"])
def test_a_model_directory_of_it_needs_no_network(
    family: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    pictures: Any,
    no_network: None,
) -> None:
    folder = request.getfixturevalue(family)()
    loaded = load_huggingface(str(folder), "--teacher")
    save_model(tmp_path / "m", *loaded, provenance={}, teacher_sizes=None)
    for file in folder.iterdir():
        file.unlink()
    again = load_model(tmp_path / "m")
    before, after = features(loaded, pictures), features(again, pictures)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert again.preprocess == loaded.preprocess


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What transformers logs, though it says most things only once a process."""
    logging.Logger.warning_once.cache_clear()  # type: ignore[attr-defined]
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [handler])
    return records


@pytest.mark.parametrize(
    ("kind", "config"), [("clip", CLIPConfig), ("siglip", SiglipConfig)]
)
def test_settings_that_are_left_out_are_the_stock_ones_without_a_word(
    kind: str, config: Any, said: list[logging.LogRecord]
) -> None:
    towers: dict[str, Any] = {"text_config": {}, "vision_config": {}}
    bare = shape_of({"model_type": kind, **towers}, "test")
    assert not said
    full = {**config(**towers).to_dict(), "architectures": None}
    assert bare == shape_of(full, "test")


def test_shards_are_put_together(hf_clip: Maker, tmp_path: Path) -> None:
    whole = load_huggingface(str(hf_clip()), "--teacher").model.state_dict()
    stock = CLIPModel.from_pretrained(tmp_path / "clip")
    (tmp_path / "clip" / "model.safetensors").unlink()
    stock.save_pretrained(tmp_path / "clip", max_shard_size="40KB")
    assert len(list((tmp_path / "clip").glob("*.safetensors"))) > 1
    again = load_huggingface(str(tmp_path / "clip"), "--teacher").model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_half_precision_weights_are_computed_in_float32(hf_clip: Maker) -> None:
    folder = hf_clip()
    CLIPModel.from_pretrained(folder).half().save_pretrained(folder)
    model = load_huggingface(str(folder), "--teacher").model
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_a_pickle_of_plain_tensors_loads(hf_clip: Maker, pictures: Any) -> None:
    folder = hf_clip()
    before = features(load_huggingface(str(folder), "--teacher"), pictures)
    state = CLIPModel.from_pretrained(folder).state_dict()
    # as older checkpoints have it
    state["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    (folder / "model.safetensors").unlink()
    torch.save(dict(state), folder / "pytorch_model.bin")
    after = load_huggingface(str(folder), "--teacher")
    assert near(before, features(after, pictures))


@pytest.mark.slow
def test_clip_at_full_size_has_the_stock_features() -> None:
    torch.manual_seed(0)
    stock = CLIPModel(CLIPConfig()).eval()
    shape = shape_of(stock.config.to_dict() | {"architectures": ["CLIPModel"]}, "test")
    model = Clip(shape).eval()
    fill(model, from_huggingface(stock.state_dict(), shape), "test")
    pixels = torch.randn(2, 3, 224, 224)
    ids = torch.randint(0, 49405, (2, 77))
    ids[:, [9, 40]] = 49407
    with torch.no_grad():
        theirs = [
            stock.get_image_features(pixel_values=pixels).pooler_output,
            stock.get_text_features(input_ids=ids).pooler_output,
        ]
        ours = [
            model.encode_image(pixels, normalize=True),
            model.encode_text(ids, normalize=True),
        ]
    assert near(ours, [nn.functional.normalize(one) for one in theirs])


READ = """
import sys, tinyclip
tinyclip.load(f"hf:{sys.argv[1]}")
print(*sorted(name for name in sys.modules if name.startswith("tinyclip.formats.")))
"""


def test_a_folder_of_transformers_is_read_without_the_loader_of_open_clip(
    hf_clip: Maker,
) -> None:
    read = subprocess.run(
        [sys.executable, "-c", READ, str(hf_clip())],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = read.stdout.split()
    assert "tinyclip.formats.huggingface.load" in modules
    assert not [name for name in modules if "openclip" in name]
