"""A model whose text features are repaired goes wherever others go, repaired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.read_back import quiet
from tinyclip.formats.lookup import describe_model, open_model
from tinyclip.formats.onnx.export import export_onnx
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.formats.safetensors.export import export_safetensors
from tinyclip.formats.source import load_source
from tinyclip.model.repair import Repair
from tinyclip.model.store import Loaded, load_model, save_model

WRITERS = {
    "safetensors": export_safetensors,
    "openclip": export_openclip,
    "huggingface": export_huggingface,
    "onnx": export_onnx,
}
ABOUT = {"data": "csv:a.csv", "pairs": 9, "swapped": 7, "steps": 3, "seed": 0}
SOURCES = ["builtin:pico", "builtin:pico-siglip"]


@pytest.fixture(scope="module")
def probe() -> Probe:
    return random_probe(16)


@pytest.fixture(params=SOURCES)
def plain(request: pytest.FixtureRequest) -> Loaded:
    return load_source(request.param)


@pytest.fixture
def wanted(plain: Loaded, probe: Probe, map_EE: torch.Tensor) -> torch.Tensor:
    """The features of captions, times the map, of length one."""
    with torch.no_grad():
        ids = plain.tokenizer(list(probe.captions))
        features = plain.model.encode_text(ids, normalize=True)
    return F.normalize(features.double() @ map_EE.double(), dim=-1)


@pytest.fixture
def map_EE(plain: Loaded) -> torch.Tensor:
    width, draw = plain.model.shape.embed_dim, torch.Generator().manual_seed(3)
    return torch.eye(width) + 0.3 * torch.randn(width, width, generator=draw)


@pytest.fixture
def repaired(plain: Loaded, map_EE: torch.Tensor, tmp_path: Path) -> Path:
    """A directory whose map lies beside its weights."""
    folder = tmp_path / "repaired"
    repair = Repair({**ABOUT, "strength": 1.0, "times": 1}, map_EE)
    origin = plain.config["provenance"]
    told = {"provenance": origin, "teacher_sizes": None, "repair": repair}
    save_model(folder, *plain, **told)
    return folder


KINDS = [
    (source, to)
    for source in SOURCES
    for to in WRITERS
    if (source, to) != ("builtin:pico-siglip", "openclip")  # timm has no such tower
]


@pytest.mark.parametrize(("plain", "to"), KINDS, indirect=["plain"])
def test_every_export_has_the_repaired_text_features(
    to: str, repaired: Path, wanted: torch.Tensor, probe: Probe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    WRITERS[to](load_model(repaired), out, probe)  # type: ignore[operator]
    exported = open_model(str(out)).loaded
    with torch.no_grad():
        ids = exported.tokenizer(list(probe.captions))
        made = exported.model.encode_text(ids, normalize=True)
    np.testing.assert_allclose(np.asarray(made), wanted, atol=2e-5)


def test_transformers_itself_makes_them(
    repaired: Path, wanted: torch.Tensor, probe: Probe, tmp_path: Path
) -> None:
    loaded = load_model(repaired)
    export_huggingface(loaded, tmp_path / "out", probe)
    with quiet(), torch.no_grad():
        theirs = AutoModel.from_pretrained(tmp_path / "out")
        made = theirs.get_text_features(loaded.tokenizer(list(probe.captions)))
    features = F.normalize(made.pooler_output, dim=-1)
    np.testing.assert_allclose(features, wanted, atol=2e-5)


@pytest.mark.parametrize("to", ["safetensors", "onnx"])
@pytest.mark.parametrize("plain", SOURCES[:1], indirect=True)
def test_what_lies_in_an_export_says_that_it_was_repaired(
    to: str, repaired: Path, probe: Probe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    WRITERS[to](load_model(repaired), out, probe)  # type: ignore[operator]
    assert describe_model(str(repaired))["repair"]["folded"] is False
    assert describe_model(str(out))["repair"]["folded"] is True
    assert "LABCLIP" in (out / "README.md").read_text()


def test_the_bytes_of_a_repaired_model_count_its_map(
    plain: Loaded, repaired: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    origin = plain.config["provenance"]
    save_model(bare, *plain, provenance=origin, teacher_sizes=None)
    more = (repaired / "repair.safetensors").stat().st_size
    sizes = [describe_model(str(folder))["bytes"] for folder in (repaired, bare)]
    assert sizes[0] == sizes[1] + more


def test_a_half_type_is_rounded_after_the_map(
    plain: Loaded, repaired: Path, probe: Probe, tmp_path: Path
) -> None:
    loaded = load_model(repaired)
    export_safetensors(loaded, tmp_path / "half", probe, dtype="float16")
    mine, theirs = loaded.model.text, load_model(tmp_path / "half").model.text
    assert torch.equal(mine.projection.half().float(), theirs.projection)
