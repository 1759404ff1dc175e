"""Every format is written, recognised, described and loaded by the table alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tinyclip.cost import sizes
from tinyclip.errors import UserError
from tinyclip.formats import lookup, registry
from tinyclip.formats.format import Job
from tinyclip.formats.parity import random_probe
from tinyclip.model.store import Loaded

Written = Callable[[str], Path]
# those that need seconds
KINDS = [
    pytest.param(name, marks=[pytest.mark.slow] if one.measured else [])
    for name, one in registry.FORMATS.items()
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@pytest.fixture
def written(uniform_loaded: Loaded, shelf: Path) -> Written:
    """Writes a small model in a format, once."""

    def write(name: str) -> Path:
        out = shelf / name
        if not out.exists():
            registry.get(name, "test").write(Job(uniform_loaded, out, "random"))
        return out

    return write


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_is_recognised_as_what_it_was_written_as(
    name: str, written: Written
) -> None:
    folder = written(name)
    kinds = [n for n, one in registry.FORMATS.items() if one.recognises(folder)]
    assert kinds == [name]


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_is_described_as_the_model_that_was_written(
    name: str, written: Written, uniform_loaded: Loaded
) -> None:
    described = lookup.describe_model(str(written(name)))
    assert described["params"] == sizes(uniform_loaded.model.shape)
    assert described["bytes"] > 0 and described["dtype"]


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_loads_with_the_features_of_the_model(
    name: str, written: Written, uniform_loaded: Loaded
) -> None:
    opened = lookup.open_model(str(written(name)))
    model, preprocess, tokenizer = (
        getattr(opened.loaded, part) for part in ("model", "preprocess", "tokenizer")
    )
    probe = random_probe(4)
    ours = uniform_loaded
    with torch.no_grad():
        for mine, theirs in (
            (
                ours.model.encode_image(pixels(ours.preprocess), normalize=True),
                model.encode_image(pixels(preprocess), normalize=True),
            ),
            (
                ours.model.encode_text(ours.tokenizer(probe.captions), normalize=True),
                model.encode_text(tokenizer(list(probe.captions)), normalize=True),
            ),
        ):
            assert (mine - theirs.cpu()).abs().max() <= 1e-5


def pixels(preprocess: Callable[..., torch.Tensor]) -> torch.Tensor:
    return torch.stack([preprocess(image) for image in random_probe(4).images])


@pytest.mark.parametrize("name", KINDS)
def test_what_it_says_of_itself_fits_in_help(name: str) -> None:
    format_ = registry.FORMATS[name]
    assert format_.name == name
    assert 0 < len(format_.writes) < 80 and "\n" not in format_.writes
    assert "{source}" in format_.loads


def test_documents_say_what_each_format_writes() -> None:
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    listed = dict(re.findall(r"^- `(\w+)`: (.*)$", text, re.MULTILINE))
    assert len(listed) >= 4
    assert listed == {name: registry.FORMATS[name].writes for name in listed}


def test_the_table_loads_no_torch() -> None:
    code = (
        "import sys, tinyclip.formats.registry as r; r.options();"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_folder_of_none_is_recognised_as_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    assert registry.recognise(tmp_path) is None
    assert registry.recognise(tmp_path / "gone") is None


def test_an_unknown_format_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'openclip'"):
        registry.get("open_clip", "--to")


def test_an_option_is_for_its_own_format(pico_loaded: Loaded) -> None:
    onnx, own = registry.FORMATS["onnx"], registry.FORMATS["safetensors"]
    registry.checked_options(onnx, {"precision": "int8"})
    with pytest.raises(UserError, match="is for --to onnx, not for --to safetensors"):
        registry.checked_options(own, {"precision": "int8"})
    with pytest.raises(UserError, match="'fp8' is none of --to onnx"):
        registry.checked_options(onnx, {"precision": "fp8"})
