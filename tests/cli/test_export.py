"""`tinyclip export`: exit codes, one JSON object, nothing half-written."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyclip.cli.main import main
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded, load_model, save_model
from tinyclip.pipeline import exports
from tinyclip.shapes import BlockShape


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
    report = json.loads(capsys.readouterr().out)
    assert report["out"] == str(out)
    assert report["parity"]["max_abs_diff"] == 0
    assert report["parity"]["n"] >= 16


def test_a_ragged_model_to_open_clip_is_exit_2_with_the_way_out(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["export", str(saved), "--to", "openclip", "--out", str(out)]
    assert main([*argv, "--data", "random"]) == 2
    assert "--layout uniform" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "float16"])
def test_half_types_are_compared_by_cosine(
    dtype: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["export", str(saved), "--to", "safetensors", "--out", str(out)]
    assert main([*argv, "--data", "random", "--dtype", dtype, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["parity"]
    assert 0.999 <= min(report["cosine"].values()) < 1
    whole, half = ((f / "model.safetensors").stat().st_size for f in (saved, out))
    assert half < 0.7 * whole
    assert load_model(out).config["dtype"] == {
        "fp16": "float16",
        "bf16": "bfloat16",
    }.get(dtype, dtype)


def test_hugging_face_is_a_format(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["export", str(saved), "--to", "huggingface", "--out", str(out)]
    assert main([*argv, "--data", "random"]) == 0
    # a ragged one brings code, which transformers runs only when told so
    call = f'AutoModel.from_pretrained("{out}", trust_remote_code=True)'
    assert call in capsys.readouterr().out
    assert json.loads((out / "config.json").read_text())["model_type"] == "tinyclip"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnx_says_cosines_and_tasks(
    precision: str,
    saved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def measure_on(source: str, loaded: Loaded, say: object) -> object:
        asked.append(source)
        return lambda model: ({"retrieval r1": 0.25}, 400)

    monkeypatch.setattr(exports, "measure_on", measure_on)
    out = tmp_path / "out"
    argv = ["export", str(saved), "--to", "onnx", "--out", str(out)]
    assert main([*argv, "--data", "random", "--precision", precision]) == 0
    shown = capsys.readouterr().out
    assert "cosine of at least" in shown
    assert "retrieval r1: 25.0, exported 25.0" in shown
    assert asked == ["random"]
    assert json.loads((out / "parity.json").read_text())["precision"] == precision


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["--to", "safetensors", "--precision", "fp16"],
            "--precision: is for --to onnx",
        ),
        (["--to", "onnx", "--dtype", "bf16"], "--dtype: is for --to safetensors"),
        (["--to", "huggingface", "--dtype", "fp16"], "--dtype: is for"),
        (["--to", "onnx", "--precision", "fp8"], "--precision: invalid choice"),
        (["--to", "openclip", "--code", "own"], "--code: is for --to huggingface"),
        (["--to", "huggingface", "--code", "stock"], "the image tower is ragged"),
    ],
)
def test_an_option_of_another_format_is_exit_2(
    argv: list[str],
    words: str,
    saved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(saved), *argv, "--out", str(out)]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_onnx_without_onnxruntime_is_exit_2_and_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "onnxruntime" else find(n)
    )
    # before anything is loaded: the model need not even be there
    argv = ["export", "no/such/model", "--to", "onnx", "--precision", "int8"]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'tinyclip[onnx]'" in capsys.readouterr().err


def test_what_a_stock_class_loses_is_said(
    pico_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = pico_loaded.model.shape
    blocks = (BlockShape(heads=4, dims=4, ffn=9),) * 2
    basis: dict[str, Any] = {"width": 15, "norm": "rms", "projection_bias": True}
    towers = {
        name: replace(tower, blocks=blocks, full_width=tower.width, **basis)
        for name, tower in shape.towers().items()
    }
    model = Clip(shape.with_towers(**towers)).init_weights(0)
    folder, out = tmp_path / "student", str(tmp_path / "out")
    loaded = replace(pico_loaded, model=model)
    save_model(folder, *loaded, provenance={}, teacher_sizes=None)
    argv = ["export", str(folder), "--to", "openclip", "--out", out]
    assert main([*argv, "--data", "random"]) == 0
    shown = capsys.readouterr().out
    assert "Not exact: stock classes have one LayerNorm before the blocks" in shown
    assert "on average and 0.9" in shown
    assert main(["inspect", out]) == 0
    assert "Not exact: stock classes" in capsys.readouterr().out


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
