"""Students that lost whole layers go wherever others go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from transformers import AutoModel, CLIPModel

from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.read_back import quiet
from tinyclip.formats.onnx.export import export_onnx
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.masks.choose import choose
from tinyclip.masks.gates import Gates
from tinyclip.model.store import Loaded, load_model, save_model
from tinyclip.sites import SITES

GONE, THERE = Keep((), 1), Keep((0,), 1)


@pytest.fixture(scope="module")
def probe() -> Probe:
    return random_probe(16)


@pytest.fixture
def ragged(pico_loaded: Loaded) -> Loaded:
    """A block without attention, one without an FFN, and a tower without the rest."""
    kept = [
        TowerKeep(
            {"attention_layers": (GONE, THERE), "ffn_layers": (THERE, GONE)},
            Keep.everything(2),
        ),
        TowerKeep({"attention_layers": (THERE,), "ffn_layers": (GONE,)}, Keep((1,), 2)),
    ]
    student = inherit(pico_loaded.model, ClipKeep(*kept)).eval()
    assert [block.is_whole for block in student.shape.image.blocks] == [False, False]
    assert len(student.shape.text.blocks) == 1
    return replace(pico_loaded, model=student)


@pytest.fixture
def shallow(uniform_loaded: Loaded) -> Loaded:
    """A uniform student of one layer a tower."""
    gates = Gates(uniform_loaded.model, sites=tuple(SITES))
    with torch.no_grad():
        for name, alpha in gates.alpha.items():
            alpha.fill_(-4 if "layers" in name else 4)
    keep = choose(gates, 0.4, layout="uniform")
    student = inherit(uniform_loaded.model, keep).eval()
    assert [len(t.blocks) for t in student.shape.towers().values()] == [1, 1]
    return replace(uniform_loaded, model=student)


def test_a_model_directory_comes_back(ragged: Loaded, tmp_path: Path) -> None:
    save_model(
        tmp_path / "model",
        ragged.model,
        ragged.preprocess,
        ragged.tokenizer,
        provenance={},
        teacher_sizes=None,
    )
    again = load_model(tmp_path / "model").model
    assert again.shape == ragged.model.shape
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(
            again.encode_image(pixels), ragged.model.encode_image(pixels)
        )


def test_what_is_gone_is_not_stored(ragged: Loaded) -> None:
    names = set(ragged.model.state_dict())
    first = {name for name in names if name.startswith("image.blocks.0.")}
    assert {name.split(".")[3] for name in first} == {"norm_2", "ffn"}
    second = {name for name in names if name.startswith("image.blocks.1.")}
    assert {name.split(".")[3] for name in second} == {"norm_1", "attention"}


def test_the_code_beside_an_export_makes_the_same(
    ragged: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_huggingface(ragged, tmp_path / "out", probe)
    with quiet():
        theirs = AutoModel.from_pretrained(tmp_path / "out", trust_remote_code=True)
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        feature_BE = theirs.eval().get_image_features(pixels).pooler_output
        ours = ragged.model.encode_image(pixels)
    assert (feature_BE - ours).abs().max() <= 1e-5


def test_onnx_makes_the_same(ragged: Loaded, probe: Probe, tmp_path: Path) -> None:
    parity = export_onnx(ragged, tmp_path / "out", probe)
    assert min(parity["cosine"].values()) >= 0.9999


def test_a_uniform_one_is_a_stock_open_clip(
    shallow: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_openclip(shallow, tmp_path / "out", probe)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        theirs = model.eval().encode_image(pixels)
        ours = shallow.model.encode_image(pixels)
    assert len(model.visual.transformer.resblocks) == 1
    assert (theirs - ours).abs().max() <= 1e-5


def test_a_uniform_one_is_a_stock_clip_model(
    shallow: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_huggingface(shallow, tmp_path / "out", probe)
    with quiet():
        stock = CLIPModel.from_pretrained(tmp_path / "out").eval()
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        theirs = stock.get_image_features(pixels).pooler_output
        ours = shallow.model.encode_image(pixels)
    assert stock.config.vision_config.num_hidden_layers == 1
    assert (theirs - ours).abs().max() <= 1e-5
