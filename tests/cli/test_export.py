"""`tinyclip export`: exit codes, one JSON object, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyclip.cli.export import default_out
from tinyclip.cli.main import main
from tinyclip.model.store import Loaded, save_model


@pytest.fixture
def saved(pico_loaded: Loaded, tmp_path: Path) -> Path:
    model, preprocess, tokenizer = pico_loaded
    folder = tmp_path / "student"
    save_model(folder, model, preprocess, tokenizer, provenance={}, teacher_sizes=None)
    return folder


def test_json_is_one_object_with_the_measured_difference(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["export", str(saved), "--to", "safetensors", "--out", str(out)]
    assert main([*argv, "--data", "random", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["out"] == str(out)
    assert found["parity"]["max_abs_diff"] == 0
    assert found["parity"]["n"] >= 16


def test_a_ragged_model_to_open_clip_is_exit_2_with_the_way_out(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["export", str(saved), "--to", "openclip", "--out", str(out)]
    assert main([*argv, "--data", "random"]) == 2
    assert "--layout uniform" in capsys.readouterr().err
    assert not out.exists()


def test_a_taken_folder_is_exit_2(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", str(saved), "--to", "safetensors", "--out", str(saved)]
    assert main(argv) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", str(tmp_path / "gone"), "--to", "safetensors"]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 2
    assert "MODEL" in capsys.readouterr().err


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
