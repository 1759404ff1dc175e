"""The Python of docs/export.md runs on a folder that was just exported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.read_back import elsewhere, quiet
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import random_probe
from tinyclip.formats.safetensors.export import export_safetensors
from tinyclip.model.store import Loaded

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "export.md"
MOST = 12  # lines of code


def example(heading: str) -> str:
    """The Python block under a heading."""
    (section,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)",
        DOCUMENT.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(block)


def run(block: str, folder: str, home: Path) -> dict[str, Any]:
    """Execute a block with its folder and picture put in place."""
    Image.new("RGB", (40, 30), "teal").save(home / "picture.jpg")
    assert f'{folder}"' in block
    assert '"picture.jpg"' in block
    block = block.replace(folder, str(home / folder))
    block = block.replace("picture.jpg", str(home / "picture.jpg"))
    names: dict[str, Any] = {}
    exec(compile(block, str(DOCUMENT), "exec"), names)
    return names


@pytest.mark.parametrize("heading", ["safetensors", "open_clip", "Hugging Face"])
def test_it_is_about_ten_lines(heading: str) -> None:
    assert len([line for line in example(heading).splitlines() if line]) <= MOST


def test_safetensors(
    pico_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_safetensors(pico_loaded, tmp_path / "small", random_probe(2))
    run(example("safetensors"), "small", tmp_path)
    assert "tensor([[" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")  # open_clip's own
def test_open_clip(
    uniform_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_openclip(uniform_loaded, tmp_path / "small-openclip", random_probe(2))
    run(example("open_clip"), "small-openclip", tmp_path)
    assert "tensor([[" in capsys.readouterr().out


@pytest.mark.parametrize("fixture", ["uniform_loaded", "pico_loaded"])
def test_hugging_face(
    fixture: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    loaded = request.getfixturevalue(fixture)
    export_huggingface(loaded, tmp_path / "small-huggingface", random_probe(2))
    with quiet(), elsewhere():
        names = run(example("Hugging Face"), "small-huggingface", tmp_path)
    assert "tensor([[" in capsys.readouterr().out
    classes = {"uniform_loaded": "CLIPModel", "pico_loaded": "TinyclipModel"}
    assert type(names["model"]).__name__ == classes[fixture]
