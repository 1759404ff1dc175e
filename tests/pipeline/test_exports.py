"""`tinyclip.export`: what it compares by, where it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tinyclip
from tinyclip.errors import UserError
from tinyclip.model.store import Loaded
from tinyclip.pipeline import exports
from tinyclip.pipeline.exports import default_out, measure_on


@pytest.mark.parametrize("dtype", ["bf16", "bfloat16"])
def test_it_returns_what_was_measured(dtype: str, tmp_path: Path) -> None:
    out = tmp_path / "half"
    exported = tinyclip.export(
        "builtin:pico", "safetensors", out=out, data="random", dtype=dtype
    )
    assert exported["out"] == str(out)
    assert exported["parity"]["dtype"] == "bfloat16"
    again = tinyclip.load(out)
    assert again.config["provenance"] == {"source": "builtin:pico"}


@pytest.mark.parametrize(
    ("to", "options", "said"),
    [
        ("opencilp", {}, "Did you mean 'openclip'"),
        ("safetensors", {"precision": "fp16"}, "is for --to onnx"),
        ("safetensors", {"dtype": "fp8"}, "'fp8' is none of"),
        ("safetensors", {"colour": "red"}, "unknown option"),
    ],
)
def test_what_a_format_does_not_have_is_refused_before_anything_is_loaded(
    to: str, options: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        tinyclip.export("no/such/model", to, out=tmp_path / "out", **options)


def test_the_builtin_data_is_measured_by_retrieval(
    pico_loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(loaded: Loaded, tasks: list[Any]) -> dict[str, Any]:
        return {
            task.name: {
                "metric": "image_to_text_r1",
                "value": 0.5,
                "n": len(task.pairs),
                "also": {"text_to_image_r1": 0.25},
            }
            for task in tasks
        }

    monkeypatch.setattr(exports, "evaluate", evaluate)
    measure = measure_on("builtin:pictograms", pico_loaded)
    assert measure is not None
    values, n = measure(pico_loaded)
    assert values == {"clipart image_to_text_r1": 0.5, "clipart text_to_image_r1": 0.25}
    assert n > 500
    assert measure_on("random", pico_loaded) is None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("runs/demo", "demo-openclip"),
        ("runs/demo/model/", "demo-openclip"),
        ("run:runs/demo", "demo-openclip"),
        ("builtin:pico", "pico-openclip"),
        (".", "model-openclip"),
    ],
)
def test_the_folder_is_named_after_the_model(model: str, name: str) -> None:
    assert default_out(model, "openclip") == Path(name)
