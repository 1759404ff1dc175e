"""The Python of docs/export.md and of a folder's README makes our features."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import no_grad

from tinyclip.formats.onnx import export as onnx
from tinyclip.formats.onnx.card import usage
from tinyclip.formats.onnx.export import export_onnx
from tinyclip.formats.parity import random_probe
from tinyclip.model.preprocess import Preprocess
from tinyclip.model.store import Loaded

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "export.md"
PARITY = {
    "precision": "fp32",
    "cosine": {"image": 1.0, "text": 1.0},
    "n": 2,
    "captions_with_equal_ids": 2,
}


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block, "example", "exec"), names)
    return names


def noise(width: int, height: int) -> Image.Image:
    draw = np.random.default_rng(width * height)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))


def check_features(names: dict[str, Any], loaded: Loaded, captions: list[str]) -> None:
    with no_grad():
        picture = loaded.preprocess(Image.open("picture.png"))[None]
        image = loaded.model.encode_image(picture, normalize=True)
        text = loaded.model.encode_text(loaded.tokenizer(captions), normalize=True)
    assert np.abs(names["image_features"] - image.numpy()).max() < 1e-5
    assert np.abs(names["text_features"] - text.numpy()).max() < 1e-5


@pytest.fixture
def exported(
    pico_loaded: Loaded, trace_once: Any, tmp_path: Path, monkeypatch: Any
) -> Loaded:
    """An export at `small-onnx` in the current folder, with a picture beside."""
    monkeypatch.setattr(onnx, "trace", trace_once)
    monkeypatch.chdir(tmp_path)
    noise(40, 30).save("picture.png")
    export_onnx(pico_loaded, Path("small-onnx"), random_probe(4))
    return pico_loaded


def test_the_document_s_lines_make_our_features(
    exported: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    section = DOCUMENT.read_text().partition("## ONNX Runtime")[2]
    (block,) = blocks(section)
    lines = [line for line in block.splitlines() if line and "import" not in line]
    assert len(lines) <= 11
    names = run(block.replace("picture.jpg", "picture.png"))
    assert "[[" in capsys.readouterr().out
    check_features(names, exported, ["a cat", "a dog"])


def test_the_folder_s_own_lines_make_our_features(exported: Loaded) -> None:
    (block,) = blocks(Path("small-onnx", "README.md").read_text())
    block = block.replace("path/to/it", "small-onnx").replace("cat.png", "picture.png")
    check_features(run(block), exported, ["a photo of a cat"])


def test_without_a_tokenizer_json_ours_makes_the_ids(exported: Loaded) -> None:
    Path("small-onnx", "tokenizer.json").unlink()
    (block,) = blocks(usage(exported, {**PARITY, "captions_with_equal_ids": 0}))
    block = block.replace("path/to/it", "small-onnx").replace("cat.png", "picture.png")
    check_features(run(block), exported, ["a photo of a cat"])


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("sides", [(40, 30), (30, 41), (16, 16), (7, 90), (33, 17)])
def test_pixels_are_ours_in_every_resize_mode(
    mode: str,
    interpolation: str,
    sides: tuple[int, int],
    pico_loaded: Loaded,
    tmp_path: Path,
) -> None:
    how = Preprocess(16, resize_mode=mode, interpolation=interpolation, fill_color=9)
    noise(*sides).save(tmp_path / "cat.png")
    (block,) = blocks(usage(replace(pico_loaded, preprocess=how), PARITY))
    lines = block.partition("size, mean, std")[2].partition("\n")[2]
    lines = lines.partition("words =")[0].replace("cat.png", str(tmp_path / "cat.png"))
    names = {"np": np, "Image": Image, "size": 16, "mean": how.mean, "std": how.std}
    exec(compile(lines, "card", "exec"), names)
    expected = how(Image.open(tmp_path / "cat.png")).numpy()
    assert np.abs(names["pixels"][0] - expected).max() < 1e-5
