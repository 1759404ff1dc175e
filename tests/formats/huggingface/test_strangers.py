"""Code from strangers never runs and never travels: our exports hold what we wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import AutoTokenizer

from tinyclip.formats.format import Job
from tinyclip.formats.huggingface.load import load_huggingface
from tinyclip.formats.huggingface.read_back import elsewhere, quiet
from tinyclip.formats.registry import FORMATS
from tinyclip.model.store import Loaded, load_model, save_model

Maker = Callable[..., Path]
WORD = "planted"
# what libraries look for, whether it was there or not
FILES = (
    *("config.json", "generation_config.json", "preprocessor_config.json"),
    *("processor_config.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "open_clip_config.json"),
)
CLASSES = ("Config", "Model", "Tokenizer", "Processor", "ImageProcessor")


def plant(folder: Path, elsewhere: Path) -> Path:
    """Keys that name code in every file of a source; returns what the code makes."""
    code, ran = elsewhere / "evil", elsewhere / "ran"
    code.mkdir(exist_ok=True)
    text = f"open({str(ran)!r}, 'w').close()\nclass Planted: ...\n"
    (code / f"{WORD}.py").write_text(text)
    name = f"{code}--{WORD}.Planted"
    mapped: dict[str, Any] = {f"Auto{each}": name for each in CLASSES}
    wild = {
        "auto_map": {**mapped, "AutoTokenizer": [name, name]},
        "custom_pipelines": {WORD: {"impl": f"{WORD}.Planted", "pt": [name]}},
        "chat_template": f"{{{{ '{WORD}' }}}}",
        f"_{WORD}": {"a": WORD},
    }
    for path in {*folder.rglob("*.json"), *(folder / each for each in FILES)}:
        if path.name == "tokenizer.json":  # its reader refuses keys that it lacks
            continue
        old = json.loads(path.read_text()) if path.exists() else {}
        if path.exists() or path.parent == folder and "config" not in path.stem:
            # of its tokens one that is no text is refused
            tokens = path.name == "special_tokens_map.json"
            more = {"auto_map": name} if tokens else wild
            path.write_text(json.dumps({**old, **more}))
    (folder / f"{WORD}.py").write_text(text)
    (folder / "chat_template.jinja").write_text(WORD)
    return ran


def planted_in(folder: Path) -> Iterator[str]:
    """The files that hold the stranger's word."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and WORD.encode() in path.read_bytes():
            yield path.name


def loading_lines(folder: Path, picture: Path) -> str:
    """The lines of a folder's card, which trust whatever code lies there."""
    card = (folder / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    block = block.replace(", trust_remote_code=True", "")
    trusting = r"from_pretrained(\1, trust_remote_code=True)"
    block = re.sub(r"from_pretrained\(([^()]*)\)", trusting, block)
    block = re.sub(r'"(picture\.jpg|cat\.png)"', repr(str(picture)), block)
    return f"image = Image.open({str(picture)!r})\n" + block.replace(
        "path/to/it", str(folder)
    )


@pytest.fixture(params=["hf_clip", "hf_siglip"])
def source(request: pytest.FixtureRequest) -> Path:
    # open_clip has one activation for both towers
    return request.getfixturevalue(request.param)(vision={"hidden_act": "gelu"})


@pytest.mark.filterwarnings("ignore")  # transformers' and open_clip's own
@pytest.mark.parametrize(
    ("source", "form"),
    [
        pytest.param(kind, name, marks=[pytest.mark.slow] if name == "onnx" else [])
        for kind in ("hf_clip", "hf_siglip")
        for name in FORMATS
        # timm has no image tower of this SigLIP's width
        if (kind, name) != ("hf_siglip", "openclip")
    ],
    indirect=["source"],
)
def test_an_export_s_loading_lines_run_no_stranger_s_code(
    source: Path, form: str, tmp_path: Path
) -> None:
    ran = plant(source, tmp_path)
    loaded = load_huggingface(str(source), "--teacher")
    check_export(loaded, form, ran, tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["huggingface", "safetensors"])
def test_nor_where_it_was_planted_in_a_model_directory(
    source: Path, form: str, tmp_path: Path
) -> None:
    stored = store(load_huggingface(str(source), "--teacher"), tmp_path / "stored")
    ran = plant(stored, tmp_path)
    check_export(load_model(stored), form, ran, tmp_path)


def store(loaded: Loaded, folder: Path) -> Path:
    parts = (loaded.model, loaded.preprocess, loaded.tokenizer)
    save_model(folder, *parts, provenance={"source": "hf:x"}, teacher_sizes=None)
    return folder


def check_export(loaded: Loaded, form: str, ran: Path, tmp_path: Path) -> None:
    # the source's own path says where it was planted
    named = {**loaded.config, "provenance": {"source": "hf:x"}}
    loaded = replace(loaded, config=named)
    if form == "openclip":  # which cuts the middle out elsewhere
        even = replace(loaded.preprocess, crop_rounding="even")
        loaded = replace(loaded, preprocess=even)
    out = tmp_path / "out"
    FORMATS[form].write(Job(loaded, out, "random"))
    assert not list(planted_in(out))
    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 30), "teal").save(picture)
    with quiet(), elsewhere():
        code = compile(loading_lines(out, picture), "card", "exec")
        exec(code, {"Image": Image})
    assert not ran.exists()


@pytest.mark.filterwarnings("ignore")
def test_a_model_directory_holds_no_stranger_s_word(
    source: Path, tmp_path: Path
) -> None:
    plant(source, tmp_path)
    stored = store(load_huggingface(str(source), "--teacher"), tmp_path / "stored")
    assert not list(planted_in(stored))


@pytest.mark.filterwarnings("ignore")
def test_the_stranger_s_code_would_run_where_it_is_trusted(
    hf_clip: Maker, tmp_path: Path
) -> None:
    folder = hf_clip()
    ran = plant(folder, tmp_path)
    with quiet(), elsewhere(), pytest.raises(Exception):  # noqa: B017 (any at all)
        AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    assert ran.exists()
