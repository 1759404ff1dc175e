"""Students in a basis of their stream go wherever others go, as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from towers import filled, inputs  # type: ignore[import-not-found]
from transformers import AutoModel

from tinyclip.formats.huggingface.configuration_tinyclip import TinyclipConfig
from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.modeling_tinyclip import TinyclipModel
from tinyclip.formats.huggingface.read_back import elsewhere, quiet
from tinyclip.formats.huggingface.towers_tinyclip import RmsNorm
from tinyclip.formats.huggingface.write_config import custom_config
from tinyclip.formats.onnx.export import COSINE, export_onnx
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.formats.safetensors.export import export_safetensors
from tinyclip.formats.source import load_source
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded
from tinyclip.shapes import ClipShape, shape_to_dict

KINDS = ["stem", "pool", "mean"]


@pytest.fixture(scope="module")
def probe() -> Probe:
    return random_probe(16)


@pytest.fixture(params=KINDS)
def student(
    request: pytest.FixtureRequest,
    pico_loaded: Loaded,
    siglip_shape: ClipShape,
    rotated: Callable[..., ClipShape],
) -> Loaded:
    """Ragged, with fewer dims: a stem, an attention pool, or neither."""
    shape = pico_loaded.model.shape
    if request.param == "pool":
        text = replace(siglip_shape.text, vocab_size=516)
        shape = siglip_shape.with_towers(text=text)
    if request.param == "mean":
        image = replace(shape.image, pool="mean", norm_pre=False)
        shape = shape.with_towers(image=image)
    return replace(pico_loaded, model=filled(rotated(shape, dims=3, cut=5)))


@torch.no_grad()
def largest_gap(ours: Clip, theirs: Any) -> float:
    """Of normalised features, ours and those of a model of transformers."""
    pixels, ids = inputs(ours.shape)
    image = theirs.get_image_features(pixels).pooler_output
    text = theirs.get_text_features(ids).pooler_output
    pairs = (
        (image, ours.encode_image(pixels, normalize=True)),
        (text, ours.encode_text(ids, normalize=True)),
    )
    gaps = [
        (torch.nn.functional.normalize(a, dim=-1) - b).abs().max() for a, b in pairs
    ]
    return float(max(gaps))


def test_the_code_beside_an_export_makes_the_same(
    student: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_huggingface(student, tmp_path / "out", probe)
    assert parity["class"] == "TinyclipModel"
    with quiet(), elsewhere():
        theirs = AutoModel.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert largest_gap(student.model, theirs.eval()) <= 1e-5


def test_transformers_export_is_a_source(
    student: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_huggingface(student, tmp_path / "out", probe)
    again = load_source(f"hf:{tmp_path / 'out'}").model
    image = again.shape.image
    assert image.blocks == student.model.shape.image.blocks
    assert (image.norm, image.full_width) == ("rms", 24)
    pixels, _ = inputs(again.shape)
    with torch.no_grad():
        ours = student.model.encode_image(pixels)
        assert torch.equal(again.encode_image(pixels), ours)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_a_model_makes_nearly_the_same(
    student: Loaded, probe: Probe, tmp_path: Path, kind: torch.dtype
) -> None:
    export_huggingface(student, tmp_path / "out", probe)
    with quiet(), elsewhere():
        theirs = AutoModel.from_pretrained(
            tmp_path / "out", trust_remote_code=True, dtype=kind
        )
    pixels, ids = inputs(student.model.shape)
    with torch.no_grad():
        image = theirs.eval().get_image_features(pixels.to(kind)).pooler_output
        text = theirs.get_text_features(ids).pooler_output
        pairs = (
            (image, student.model.encode_image(pixels)),
            (text, student.model.encode_text(ids)),
        )
    for half, whole in pairs:
        assert half.dtype == kind
        assert torch.cosine_similarity(half.float(), whole).min() > 0.999


def test_the_norm_of_the_code_is_numpys_and_sums_in_float32() -> None:
    norm = RmsNorm(64, 1e-5, full_width=96).half()
    x = torch.full((1, 64), 300.0, dtype=torch.float16)  # squares are over 65,504
    made = norm(x)
    assert made.dtype == torch.float16
    root = np.sqrt(64 * 300.0**2 / 96 + 1e-5)
    np.testing.assert_allclose(made.detach().numpy(), 300 / root, rtol=1e-3)


def test_our_class_has_our_parameters(student: Loaded) -> None:
    shape = student.model.shape
    model = TinyclipModel(TinyclipConfig(**shape_to_dict(shape)))
    ours = {n: v.shape for n, v in student.model.state_dict().items()}
    assert {n: v.shape for n, v in model.state_dict().items()} == ours


def test_the_configuration_of_a_plain_student_says_nothing_new(
    pico_shape: ClipShape,
) -> None:
    words = json.dumps(custom_config(pico_shape, 49))
    assert not [w for w in ("dims", 'norm"', "full_width", "stem") if w in words]
    assert "projection_bias" not in custom_config(pico_shape, 49)["image"]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "near"), [("fp32", 0.99999), ("fp16", 0.999)])
def test_onnx_makes_the_same(
    student: Loaded, probe: Probe, tmp_path: Path, precision: str, near: float
) -> None:
    out = tmp_path / "out"
    export_onnx(student, out, probe, precision=precision)
    pixels, ids = inputs(student.model.shape)
    with torch.no_grad():
        wanted = {
            "image": student.model.encode_image(pixels, normalize=True),
            "text": student.model.encode_text(ids, normalize=True),
        }
    for tower, feed in (("image", pixels), ("text", ids)):
        session = onnxruntime.InferenceSession(out / f"{tower}.onnx")
        name = session.get_inputs()[0].name
        made_BE = session.run(None, {name: feed.numpy()})[0]
        assert (made_BE * wanted[tower].numpy()).sum(axis=1).min() >= near


@pytest.mark.slow
def test_onnx_makes_nearly_the_same_in_int8(
    student: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_onnx(student, tmp_path / "out", probe, precision="int8")
    assert min(parity["cosine"].values()) >= COSINE["int8"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_model_directory_comes_back(
    student: Loaded, probe: Probe, tmp_path: Path, dtype: str
) -> None:
    export_safetensors(student, tmp_path / "out", probe, dtype=dtype)
    again = load_source(str(tmp_path / "out")).model
    assert again.shape == student.model.shape
