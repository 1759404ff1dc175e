"""What stock classes and files make of a rotated student, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from towers import filled, in_basis, inputs  # type: ignore[import-not-found]
from transformers import CLIPModel, SiglipModel

from tinyclip.errors import UserError
from tinyclip.formats.conversion import probes_for
from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.read_back import quiet
from tinyclip.formats.lookup import describe_model
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.formats.stock import (
    zero_sum_basis,
)
from tinyclip.model.store import Loaded
from tinyclip.shapes import ClipShape


@pytest.fixture(scope="module")
def probe() -> Probe:
    return random_probe(16)


@pytest.fixture
def loaded(pico_loaded: Loaded) -> Callable[[ClipShape], Loaded]:
    """A pico loaded model of another shape, with its vocabulary."""

    def make(shape: ClipShape) -> Loaded:
        text = replace(shape.text, vocab_size=516)
        return replace(pico_loaded, model=filled(shape.with_towers(text=text)))

    return make


def flat(student: Loaded) -> Loaded:
    """Tokens behind the stem that are nearly as long as each other."""
    with torch.no_grad():
        image = student.model.image
        image.stem.copy_(zero_sum_basis(24)[:, :15] * 0.6)
        image.norm_pre.weight.fill_(1.2)
        image.class_embedding.mul_(5)
        image.patch.mul_(5)
        image.position.mul_(5)
    return student


def test_stock_open_clip_makes_the_same_without_a_stem(
    stemless: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = loaded(stemless)
    parity = export_openclip(student, tmp_path / "out", probe)
    assert parity["max_abs_diff"] <= 1e-5
    assert parity["conversion"]["exact"] and "cosine" not in parity
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    pixels, ids = inputs(student.model.shape, torch.float32)
    with torch.no_grad():
        for name, x in (("encode_image", pixels), ("encode_text", ids)):
            theirs = getattr(model.eval(), name)(x, normalize=True)
            ours = getattr(student.model, name)(x, normalize=True)
            assert (theirs - ours).abs().max() <= 1e-5
    assert type(model.visual.ln_post).__name__ == "LayerNorm"


def test_stock_clip_model_makes_nearly_the_same_behind_a_stem(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = flat(loaded(stemmed))
    parity = export_huggingface(student, tmp_path / "out", probe, more=random_probe(20))
    assert parity["class"] == "CLIPModel"
    with quiet():
        stock = CLIPModel.from_pretrained(tmp_path / "out").eval()
    pixels = torch.stack([student.preprocess(image) for image in probe.images])
    ids = student.tokenizer(probe.captions)
    with torch.no_grad():
        image = stock.get_image_features(pixels).pooler_output
        text = stock.get_text_features(ids).pooler_output
        near = torch.cosine_similarity(image, student.model.encode_image(pixels))
        assert near.min() >= parity["conversion"]["image"]["lowest"] > 0.95
        ours = student.model.encode_text(ids, normalize=True)
        gap = (torch.nn.functional.normalize(text) - ours).abs().max()
    assert gap <= 1e-5
    assert stock.config.vision_config.layer_norm_eps == 1e-5 * 24 / 16


def test_a_siglip_whose_text_alone_is_rotated_is_a_siglip_model(
    siglip_shape: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    text = in_basis(siglip_shape.text, 3, 16)
    student = loaded(siglip_shape.with_towers(text=text))
    parity = export_huggingface(student, tmp_path / "out", probe)
    assert parity["class"] == "SiglipModel"
    assert parity["max_abs_diff"] <= 1e-5
    with quiet():
        stock = SiglipModel.from_pretrained(tmp_path / "out").eval()
    assert stock.config.text_config.hidden_size == 12


def test_a_stem_whose_tokens_differ_in_length_is_refused_with_the_way_out(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    student = loaded(stemmed)
    image = student.model.image
    with torch.no_grad():  # of the class token nearly nothing is left behind the stem
        image.stem[0] = 0
        image.class_embedding[0] = 9
        image.norm_pre.weight.mul_(3)
    with pytest.raises(UserError, match=r"mean cosine of 0\.\d+ .*--code own"):
        export_openclip(student, tmp_path / "out", probe)
    with pytest.raises(UserError, match="--code stock: .*0.99 is needed.*--code own"):
        export_huggingface(student, tmp_path / "out", probe, code="stock")
    assert list(tmp_path.iterdir()) == []
    parity = export_huggingface(student, tmp_path / "out", probe)
    assert parity["class"] == "TinyclipModel" and "conversion" not in parity
    assert parity["max_abs_diff"] <= 1e-5
    assert "written with its own code" in caplog.text


def test_what_is_lost_is_told_everywhere(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = flat(loaded(stemmed))
    parity = export_openclip(student, tmp_path / "out", probe, more=random_probe(20))
    loss = parity["conversion"]
    assert not loss["exact"] and loss["n"] == parity["n"] == 20
    assert loss["image"]["lowest"] < loss["image"]["mean"] < 1
    assert 0 <= loss["top1_agreement"] <= 1
    assert parity["cosine"]["image"] == loss["image"]["lowest"]
    assert parity["max_abs_diff"] == loss["image"]["max_abs_diff"] > 1e-4
    assert parity["image"] == parity["max_abs_diff"] > parity["text"]
    assert parity["read_back"]["max_abs_diff"] <= 1e-5
    assert json.loads((tmp_path / "out" / "parity.json").read_text()) == parity
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{loss['image']['mean']:.5f} on average" in card
    assert "| image | 16 | 4 4 |" in card  # as the file has it


def test_a_rotated_attention_pool_has_no_stock_form(
    siglip_shape: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    image = in_basis(siglip_shape.image, 4, 24)
    student = loaded(siglip_shape.with_towers(image=image))
    with pytest.raises(UserError, match=r"attention pool stays .*--to huggingface"):
        export_openclip(student, tmp_path / "out", probe)
    with pytest.raises(UserError, match=r"attention pool stays .*--code own"):
        export_huggingface(student, tmp_path / "out", probe, code="stock")
    parity = export_huggingface(student, tmp_path / "out", probe)
    assert parity["class"] == "TinyclipModel"


def test_own_code_is_brought_where_it_is_wanted(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_huggingface(uniform_loaded, tmp_path / "out", probe, code="own")
    assert parity["class"] == "TinyclipModel"
    assert (tmp_path / "out" / "modeling_tinyclip.py").exists()


def test_a_stock_class_that_lacks_a_switch_is_no_class(
    pico_loaded: Loaded, uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--code stock: the image tower is ragged"):
        export_huggingface(pico_loaded, tmp_path / "out", probe, code="stock")
    image = replace(uniform_loaded.model.shape.image, norm_pre=False)
    model = filled(uniform_loaded.model.shape.with_towers(image=image))
    student = replace(uniform_loaded, model=model)
    with pytest.raises(UserError, match="--code stock: .*lack a switch"):
        export_huggingface(student, tmp_path / "out", probe, code="stock")


def test_the_export_is_counted_as_its_file_has_it(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = flat(loaded(stemmed))
    export_huggingface(student, tmp_path / "out", probe)
    report = describe_model(str(tmp_path / "out"))
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert report["params"]["total"] == sum(v.numel() for v in stored.values())
    assert report["embed"] == {"image": 16, "text": 12}
    assert report["basis"] == {"image": None, "text": None}
    assert report["layers"]["image"] == [{"heads": 4, "ffn": 9}] * 2


def test_pairs_beside_those_compared_are_taken_for_a_stem_alone(
    stemmed: ClipShape, stemless: ClipShape, pico_shape: ClipShape
) -> None:
    probe, more = probes_for(stemmed, "random")
    assert more is not None and len(probe) < len(more)
    for shape in (stemless, pico_shape):
        assert probes_for(shape, "random")[1] is None
