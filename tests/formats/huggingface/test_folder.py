"""A folder of transformers needs no scheme, and what we wrote for it loads again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tinyclip
from tinyclip.errors import UserError
from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.lookup import describe_model
from tinyclip.formats.parity import random_probe
from tinyclip.model.store import Loaded

Maker = Callable[..., Path]
CAPTIONS = ["a cat", "Two cats on a mat!", "", "very long " * 30]


@pytest.mark.parametrize("family", ["hf_clip", "hf_siglip"])
def test_a_folder_of_transformers_is_read_without_a_word(
    family: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(family)()
    bare, named = tinyclip.load(folder), tinyclip.load(f"hf:{folder}")
    assert bare.preprocess == named.preprocess
    assert bare.config == named.config
    assert torch.equal(bare.model.image.patch, named.model.image.patch)


def test_another_tokenizer_may_follow_a_folder(hf_clip: Maker, tmp_path: Path) -> None:
    folder = hf_clip()
    for file in list(folder.glob("tokenizer*")):
        file.rename(tmp_path / file.name)
    loaded = tinyclip.load(f"{folder},tokenizer={tmp_path}")
    assert loaded.tokenizer("cat")[0, :3].tolist() == [516, 513, 517]


@pytest.mark.parametrize("fixture", ["uniform_loaded", "pico_loaded"])
def test_what_an_export_wrote_makes_the_same_features(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    loaded: Loaded = request.getfixturevalue(fixture)
    probe = random_probe(2)
    export_huggingface(loaded, tmp_path / "out", probe)
    for source in (str(tmp_path / "out"), f"hf:{tmp_path / 'out'}"):
        again = tinyclip.load(source)
        pixels = [
            torch.stack([one.preprocess(image) for image in probe.images])
            for one in (loaded, again)
        ]
        assert torch.equal(*pixels)
        with torch.no_grad():
            for ours, theirs in (
                [one.model.encode_image(pixels[0]) for one in (loaded, again)],
                [
                    one.model.encode_text(one.tokenizer(CAPTIONS))
                    for one in (loaded, again)
                ],
            ):
                assert torch.allclose(ours, theirs, atol=1e-6)


def test_an_export_with_its_own_code_that_is_damaged_is_named(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    export_huggingface(pico_loaded, folder, random_probe(2))
    weights = load_file(folder / "model.safetensors")
    weights["image.patches"] = weights.pop("image.patch")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"image\.patch is missing; image\.patches is"):
        tinyclip.load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "image": {"width": 3}}))
    with pytest.raises(UserError, match="does not describe a model.*Export the model"):
        tinyclip.load(folder)


def test_where_both_lie_those_are_read_whose_weights_are_there(
    hf_clip: Maker, plain: Any, stock: Any
) -> None:
    folder, cfg = hf_clip(), plain(text_cfg={"vocab_size": 49_408})
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg}))
    assert tinyclip.load(folder).model.shape.embed_dim == 14
    with pytest.raises(UserError, match="those of transformers .*hf:DIR"):
        tinyclip.load(f"openclip:{folder}")
    save_file(stock(cfg).state_dict(), folder / "open_clip_model.safetensors")
    assert tinyclip.load(folder).model.shape.embed_dim == 10
    assert tinyclip.load(f"hf:{folder}").model.shape.embed_dim == 14
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=f"open_clip's lie there: write openclip:{folder}"
    ):
        tinyclip.load(f"hf:{folder}")


def test_an_export_to_onnx_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"format": "onnx"}))
    with pytest.raises(UserError, match="is an export to ONNX"):
        tinyclip.load(tmp_path)


def test_weights_that_are_no_safetensors_are_counted_when_they_are_read(
    hf_clip: Maker,
) -> None:
    folder = hf_clip()
    before = describe_model(str(folder))
    state = load_file(folder / "model.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert describe_model(str(folder))["params"] == before["params"]
