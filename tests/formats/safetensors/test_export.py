"""The plain copy is the model, and says that it was checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tinyclip.errors import TinyclipError
from tinyclip.formats.parity import compare, random_probe
from tinyclip.formats.safetensors import export as safetensors
from tinyclip.formats.safetensors.export import export_safetensors
from tinyclip.model.store import Loaded, load_model


def test_the_copy_has_the_same_weights_and_certificate(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    certificate = {"max_abs_diff": 1e-7, "n": 64}
    export_safetensors(
        pico_loaded, tmp_path / "out", random_probe(16), certificate=certificate
    )
    again = load_model(tmp_path / "out").model.state_dict()
    for name, value in pico_loaded.model.state_dict().items():
        assert torch.equal(again[name], value), name
    stored = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert stored == certificate


def test_a_copy_that_reads_back_otherwise_is_not_kept(
    pico_loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(folder: Path) -> Loaded:
        again = load_model(folder)
        with torch.no_grad():
            again.model.text.position[0, 0] += 1
        return again

    monkeypatch.setattr(safetensors, "load_model", spoiled)
    with pytest.raises(TinyclipError, match=r"text\.position"):
        export_safetensors(pico_loaded, tmp_path / "out", random_probe(16))
    assert list(tmp_path.iterdir()) == []


def test_features_that_are_not_numbers_are_no_parity(pico_loaded: Loaded) -> None:
    model = pico_loaded.model
    with torch.no_grad():
        model.image.projection.fill_(float("nan"))
    x, ids = torch.zeros(2, 3, 16, 16), pico_loaded.tokenizer(["a", "b"])
    with pytest.raises(TinyclipError, match="not the same model"):
        compare(model, model, (x, x), (ids, ids))
