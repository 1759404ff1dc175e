"""Stock transformers loads what was written, and makes the same of the same input."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor, CLIPModel, SiglipModel

from tinyclip.errors import TinyclipError, UserError
from tinyclip.formats.huggingface import export as huggingface
from tinyclip.formats.huggingface import write_tokenizer as hf_tokenizer
from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.read_back import quiet
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.formats.source import load_source
from tinyclip.model.clip import Clip
from tinyclip.model.preprocess import Preprocess
from tinyclip.model.store import Loaded
from tinyclip.shapes import BlockShape

CAPTIONS = ["a photo of a cat", "", "cat", "cat!! it's 12"]


@pytest.fixture(scope="module")
def probe() -> Probe:
    pairs = random_probe(16)
    return Probe("random", pairs.images, tuple(CAPTIONS * 4))


@pytest.fixture
def siglip_loaded(siglip_clip: Clip, uniform_loaded: Loaded) -> Loaded:
    """SigLIP with CLIP's tokenizer, which pads with id 0."""
    shape, state = siglip_clip.shape, siglip_clip.state_dict()
    rows = torch.randn(516, 16, generator=torch.Generator().manual_seed(1)) / 5
    text = replace(shape.text, vocab_size=516)
    model = Clip(shape.with_towers(text=text))
    model.load_state_dict({**state, "text.token_embedding": rows})
    return replace(uniform_loaded, model=model.eval())


def test_clip_model_makes_the_same_features(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_huggingface(uniform_loaded, tmp_path / "out", probe)
    with quiet():
        stock = CLIPModel.from_pretrained(tmp_path / "out").eval()
        processor = AutoProcessor.from_pretrained(tmp_path / "out", backend="pil")
    cut = {"padding": True, "truncation": True, "return_tensors": "pt"}
    x = processor(text=CAPTIONS, images=list(probe.images), **cut)
    pixels = torch.stack([uniform_loaded.preprocess(image) for image in probe.images])
    with torch.no_grad():
        theirs = stock.get_image_features(x["pixel_values"]).pooler_output
        words = stock.get_text_features(x["input_ids"]).pooler_output
        ours = uniform_loaded.model.encode_image(pixels)
        mine = uniform_loaded.model.encode_text(uniform_loaded.tokenizer(CAPTIONS))
    assert (theirs - ours).abs().max() <= 1e-5
    assert (words - mine).abs().max() <= 1e-5


def test_siglip_model_pads_as_we_do(
    siglip_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_huggingface(siglip_loaded, tmp_path / "out", probe)
    with quiet():
        stock = SiglipModel.from_pretrained(tmp_path / "out").eval()
        processor = AutoProcessor.from_pretrained(tmp_path / "out", backend="pil")
    cut = {"truncation": True, "return_tensors": "pt"}
    ids = processor(text=CAPTIONS, padding="max_length", **cut)
    with torch.no_grad():
        theirs = stock.get_text_features(**ids).pooler_output
        ours = siglip_loaded.model.encode_text(siglip_loaded.tokenizer(CAPTIONS))
    assert (theirs - ours).abs().max() <= 1e-5


def test_a_padding_token_of_its_own_takes_no_other_embedding(
    siglip_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    before = siglip_loaded.model.text.token_embedding.detach().clone()
    export_huggingface(siglip_loaded, tmp_path / "out", probe)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    table = weights["text_model.embeddings.token_embedding.weight"]
    assert torch.equal(table[:-1], before)
    assert torch.equal(table[-1], before[0])
    assert torch.equal(siglip_loaded.model.text.token_embedding, before)


def test_a_ragged_model_brings_its_code_and_our_names(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_huggingface(pico_loaded, tmp_path / "out", probe)
    assert parity["class"] == "TinyclipModel"
    weights = load_file(tmp_path / "out" / "model.safetensors")
    ours = pico_loaded.model.state_dict()
    assert set(weights) == set(ours)
    assert all(torch.equal(weights[name], value) for name, value in ours.items())
    code = [path.read_text() for path in (tmp_path / "out").glob("*.py")]
    assert len(code) == 3
    assert not [text for text in code if re.search(r"(import|from) tinyclip\b", text)]


def test_a_layer_without_heads_and_units_is_exported(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    shape = pico_loaded.model.shape
    dead = (BlockShape(heads=0, ffn=0), shape.image.blocks[1])
    shape = shape.with_towers(image=replace(shape.image, blocks=dead))
    model = Clip(shape).init_weights(0).eval()
    parity = export_huggingface(
        replace(pico_loaded, model=model), tmp_path / "o", probe
    )
    assert parity["max_abs_diff"] <= 1e-5


def test_no_modules_are_left_behind(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import dynamic_module_utils

    cache = tmp_path / "cache"
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(cache))
    export_huggingface(pico_loaded, tmp_path / "out", probe)
    assert not cache.exists()


def test_parity_is_written_beside(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_huggingface(uniform_loaded, tmp_path / "out", probe)
    assert json.loads((tmp_path / "out" / "parity.json").read_text()) == parity
    assert parity["format"] == "huggingface"
    assert parity["max_abs_diff"] <= 1e-5
    assert parity["n"] == 16
    assert parity["captions_with_equal_ids"] == parity["captions"] > 16
    assert parity["images_with_equal_pixels"] == 16


def test_no_place_of_this_machine_is_in_the_folder(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_huggingface(uniform_loaded, tmp_path / "out", probe)
    texts = [p.read_text() for p in (tmp_path / "out").glob("*.json")]
    assert not [text for text in texts if str(tmp_path) in text or "is_local" in text]


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pictures_become_the_same_pixels(
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    mode: str,
    interpolation: str,
) -> None:
    preprocess = Preprocess(16, resize_mode=mode, interpolation=interpolation)
    loaded = replace(uniform_loaded, preprocess=preprocess)
    parity = export_huggingface(loaded, tmp_path / "out", probe)
    assert parity["images_with_equal_pixels"] == 16


def test_a_crop_one_pixel_beside_is_told_and_left_out(
    uniform_loaded: Loaded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (19, 16, 3), dtype=np.uint8)
    # 19 high, 16 wanted: 1.5 pixels above, which one rounds up and the other down
    images = (Image.fromarray(noise), Image.fromarray(noise[:16]))
    loaded = replace(uniform_loaded, preprocess=Preprocess(16))
    probe = Probe("random", images, ("a cat", "cat"))
    parity = export_huggingface(loaded, tmp_path / "out", probe)
    assert parity["images_with_equal_pixels"] == 1
    assert "1 of 2 pictures" in caplog.text


def test_padded_pictures_are_refused(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    loaded = replace(uniform_loaded, preprocess=Preprocess(16, resize_mode="longest"))
    with pytest.raises(UserError, match="padded"):
        export_huggingface(loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


def test_a_caption_that_needs_mending_is_told(
    uniform_loaded: Loaded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = random_probe(2).images
    probe = Probe("random", images, ("cat &amp; dog", "a cat"))
    parity = export_huggingface(uniform_loaded, tmp_path / "out", probe)
    assert parity["captions"] - parity["captions_with_equal_ids"] == 1
    assert "&amp;" in caplog.text


def test_a_tokenizer_of_other_ids_stops_the_export(
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shifted(call: object, captions: list[str]) -> torch.Tensor:
        return hf_tokenizer.encode(call, captions) + 1

    monkeypatch.setattr(huggingface, "encode", shifted)
    with pytest.raises(TinyclipError, match="other ids"):
        export_huggingface(uniform_loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_a_processor_calls_the_tokenizer_with_are_seen(
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leave(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text())
        path.write_text(json.dumps({**settings, "max_length": 3}))

    monkeypatch.setattr(huggingface, "forget_places", leave)
    with pytest.raises(TinyclipError, match="makes 3 ids of a caption"):
        export_huggingface(uniform_loaded, tmp_path / "out", probe)


@pytest.mark.parametrize("fixture", ["uniform_loaded", "pico_loaded"])
def test_weights_that_changed_on_the_way_stop_the_export(
    fixture: str,
    probe: Probe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    save = huggingface.save_tensors

    def skewed(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        name = next(n for n in tensors if "post" in n and n.endswith("bias"))
        return save({**tensors, name: tensors[name] + 0.01}, metadata)

    monkeypatch.setattr(huggingface, "save_tensors", skewed)
    with pytest.raises(TinyclipError, match="not the same model"):
        export_huggingface(request.getfixturevalue(fixture), tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_is_missing_stops_the_export(
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = huggingface.save_tensors

    def fewer(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        return save({n: v for n, v in tensors.items() if n != "logit_scale"}, metadata)

    monkeypatch.setattr(huggingface, "save_tensors", fewer)
    with pytest.raises(TinyclipError, match="logit_scale"):
        export_huggingface(uniform_loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        export_huggingface(uniform_loaded, tmp_path, probe)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("fixture", ["uniform_loaded", "siglip_loaded"])
def test_a_stock_export_is_a_source_and_exports_again(
    fixture: str, probe: Probe, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ours: Loaded = request.getfixturevalue(fixture)
    first = export_huggingface(ours, tmp_path / "first", probe)
    with quiet():
        again = load_source(f"hf:{tmp_path / 'first'}")
    second = export_huggingface(again, tmp_path / "second", probe)
    assert second["class"] == first["class"]
    assert second["captions_with_equal_ids"] == second["captions"]
    one, two = (
        load_file(tmp_path / n / "model.safetensors") for n in ("first", "second")
    )
    assert all(torch.equal(two[name], value) for name, value in one.items())
