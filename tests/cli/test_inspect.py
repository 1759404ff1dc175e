"""`tinyclip inspect --json`: the keys that others lean on, counted on the model."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from tinyclip import cost
from tinyclip.cli.main import main
from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import random_probe
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded, save_model

TEACHER = {"encoder": 40_000, "total": 80_000}


@pytest.fixture
def saved(pico_loaded: Loaded, tmp_path: Path) -> Path:
    model, preprocess, tokenizer = pico_loaded
    folder = tmp_path / "run" / "model"
    save_model(
        folder,
        model,
        preprocess,
        tokenizer,
        provenance={"teacher": "builtin:pictoclip", "stage": 2},
        teacher_sizes=TEACHER,
        certificate={"max_abs_diff": 3e-7, "n": 64},
    )
    return folder


def inspect(model: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["inspect", model, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_the_contracts_keys_are_there(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = inspect(str(saved), capsys)
    assert set(report["params"]) >= {
        "total",
        "encoder",
        "image",
        "text",
        "token_embedding",
    }
    assert set(report["macs"]) == set(report["embed"]) == {"image", "text"}
    assert report["layers"]["image"][1] == {"heads": 3, "ffn": 28}
    assert report["certificate"]["max_abs_diff"] == 3e-7
    assert report["provenance"]["teacher"] == "builtin:pictoclip"


def test_params_are_counted_as_the_file_holds_them(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = inspect(str(saved), capsys)
    stored = load_file(saved / "model.safetensors")
    towers = ("image.", "text.")
    encoder = [n for n in stored if ".attention." in n or ".ffn." in n]
    assert report["params"]["total"] == sum(v.size for v in stored.values())
    assert report["params"]["encoder"] == sum(stored[n].size for n in encoder)
    for tower in towers:
        counted = sum(v.size for n, v in stored.items() if n.startswith(tower))
        assert report["params"][tower[:-1]] == counted
    assert report["bytes"] == (saved / "model.safetensors").stat().st_size


def test_shares_are_of_the_teachers(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = inspect(str(saved), capsys)
    for key, whole in TEACHER.items():
        assert report["share"][key] == report["params"][key] / whole


def test_a_run_is_its_model(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = inspect(str(saved.parent), capsys)
    assert run["params"] == inspect(str(saved), capsys)["params"]


def test_a_teacher_source_is_all_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    report = inspect("builtin:pico", capsys)
    assert report["share"] == {"encoder": 1.0, "total": 1.0}
    assert report["certificate"] is None


def test_the_table_shows_widths_and_source(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(saved)]) == 0
    shown = capsys.readouterr().out
    for line in ("heads  4 3", "ffn    32 28", "teacher: builtin:pictoclip"):
        assert line in shown


def test_a_basis_and_fewer_dims_are_told(
    pico_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = pico_loaded.model.shape
    blocks = tuple(replace(block, dims=3) for block in shape.image.blocks)
    basis = {"width": 15, "norm": "rms", "full_width": 24, "projection_bias": True}
    image = replace(shape.image, blocks=blocks, **basis)
    student = Clip(shape.with_towers(image=image)).init_weights(0)
    folder = tmp_path / "model"
    loaded = replace(pico_loaded, model=student)
    save_model(folder, *loaded, provenance={}, teacher_sizes=None)
    report = inspect(str(folder), capsys)
    assert report["basis"] == {"image": {"full_width": 24, "stem": True}, "text": None}
    assert report["layers"]["image"][1] == {"heads": 3, "ffn": 28, "dims": 3}
    assert report["head_width"] == {"image": 6, "text": 4}
    assert main(["inspect", str(folder)]) == 0
    shown = capsys.readouterr().out
    for line in ("embed 15 directions of 24, behind a stem", "heads  4×3 3×3"):
        assert line in shown


def test_the_share_of_the_runs_budget_is_told(
    pico_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = pico_loaded.model, tmp_path / "model"
    save_model(
        folder,
        *pico_loaded,
        provenance={"budget": "macs", "towers": ["image", "text"]},
        teacher_sizes={**TEACHER, "macs": 4 * cost.size(model.shape, "macs")},
    )
    assert inspect(str(folder), capsys)["share"]["macs"] == 0.25
    assert main(["inspect", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "macs, the budget" in shown and "25.0 %" in shown
    assert "towers: image, text" in shown


def test_an_unknown_model_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no/such/model"]) == 2
    assert "no/such/model" in capsys.readouterr().err


def test_the_file_s_own_type_and_bytes_are_told(
    pico_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, preprocess, tokenizer = pico_loaded
    folder = tmp_path / "half"
    save_model(
        folder,
        model,
        preprocess,
        tokenizer,
        provenance={},
        teacher_sizes=None,
        dtype="bfloat16",
    )
    report = inspect(str(folder), capsys)
    assert report["dtype"] == "bfloat16"
    assert report["bytes"] == (folder / "model.safetensors").stat().st_size
    assert report["bytes"] < 3 * report["params"]["total"]


def test_an_open_clip_folder_is_read(
    uniform_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_openclip(uniform_loaded, tmp_path / "out", random_probe(4))
    report = inspect(str(tmp_path / "out"), capsys)
    assert report["format"] == "openclip"
    assert report["params"]["total"] == sum(
        p.numel() for p in uniform_loaded.model.parameters()
    )
    assert report["layers"]["image"] == [{"heads": 4, "ffn": 31}] * 2
    assert report["parity"]["max_abs_diff"] <= 1e-5
    assert report["share"] == {"encoder": None, "total": None}


@pytest.mark.parametrize("fixture", ["uniform_loaded", "pico_loaded"])
@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_a_hugging_face_folder_is_read(
    fixture: str,
    prefix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    loaded = request.getfixturevalue(fixture)
    export_huggingface(loaded, tmp_path / "out", random_probe(4))
    capsys.readouterr()
    report = inspect(f"{prefix}{tmp_path / 'out'}", capsys)
    assert report["format"] == "huggingface"
    assert report["dtype"] == "float32"
    assert report["params"]["total"] == sum(
        p.numel() for p in loaded.model.parameters()
    )
    shape = loaded.model.shape.image
    assert report["layers"]["image"] == [
        {"heads": block.heads, "ffn": block.ffn} for block in shape.blocks
    ]


def test_an_export_whose_weights_do_not_fit_is_exit_2(
    uniform_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_openclip(uniform_loaded, tmp_path / "out", random_probe(4))
    path = tmp_path / "out" / "open_clip_model.safetensors"
    tensors = load_file(path)
    save_file(dict(list(tensors.items())[:-1]), path)
    assert main(["inspect", str(tmp_path / "out")]) == 2
    assert "parameters, and its configuration describes" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:100])
    assert main(["inspect", str(tmp_path / "out")]) == 2
    assert "not a whole safetensors file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pico source in ONNX."""
    out = tmp_path_factory.mktemp("onnx") / "out"
    argv = ["export", "builtin:pico", "--to", "onnx", "--precision", "fp16"]
    assert main([*argv, "--data", "random", "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_an_onnx_folder_says_precision_opset_and_ends(
    onnx_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = inspect(str(onnx_folder), capsys)
    assert (report["format"], report["precision"], report["opset"]) == (
        "onnx",
        "fp16",
        20,
    )
    image = report["encoders"]["image"]
    assert image["input"] == {
        "name": "pixel_values",
        "shape": ["batch", 3, 16, 16],
        "dtype": "float32",
    }
    assert image["output"]["shape"] == ["batch", 16]
    # nearly all is float16
    assert image["stored"]["float16"] > 0.9 * report["params"]["image"]
    assert report["bytes"] == sum(f.stat().st_size for f in onnx_folder.glob("*.onnx"))
    assert report["parity"]["cosine"]["text"] >= 0.999
    assert main(["inspect", str(onnx_folder)]) == 0
    assert "opset 20" in capsys.readouterr().out


@pytest.mark.slow
def test_an_onnx_folder_is_read_without_onnx(
    onnx_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report = inspect(str(onnx_folder), capsys)
    assert report["opset"] == 20
    assert report["encoders"]["text"]["input"]["name"] == "input_ids"


@pytest.mark.slow
def test_a_damaged_onnx_file_is_exit_2(
    onnx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(onnx_folder, tmp_path / "broken"))
    (folder / "text.onnx").write_bytes(b"not a graph")
    assert main(["inspect", str(folder)]) == 2
    assert "text.onnx: is no ONNX file" in capsys.readouterr().err
    (folder / "text.onnx").unlink()
    assert main(["inspect", str(folder)]) == 2
    assert "text.onnx: does not exist" in capsys.readouterr().err


@pytest.fixture
def unfinished(saved: Path, tmp_path: Path) -> Path:
    """A run of three stages of which the first is whole."""
    from tinyclip.config.load import load_recipe, rebuild_ladder
    from tinyclip.pipeline.belief import seal_stage
    from tinyclip.pipeline.run_dir import RunDir

    recipe = rebuild_ladder(load_recipe("smoke"), 0.25, 3)
    run = RunDir(tmp_path / "half")
    run.path.mkdir()
    run.begin(recipe)
    run.write("plan.json", {"sizes": TEACHER, "fingerprints": {}})
    stage = run.stages(recipe)[0]
    shutil.copytree(saved, stage.model)
    seal_stage(stage, "of this", None, {"samples": 0, "sizes": {}})
    return run.path


def test_an_unfinished_run_shows_its_finished_stages(
    unfinished: Path, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = inspect(str(unfinished), capsys)
    assert (report["finished"], report["planned"]) == (False, 3)
    assert [row["stage"] for row in report["stages"]] == [1]
    assert report["params"] == inspect(str(saved), capsys)["params"]
    assert main(["inspect", f"run:{unfinished}"]) == 0
    shown = capsys.readouterr().out
    assert "1 of 3 stages are whole" in shown
    assert "--resume" in shown


def test_a_run_with_no_stage_yet_says_so(
    unfinished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(unfinished / "stages")
    assert inspect(str(unfinished), capsys)["stages"] == []
    (unfinished / "plan.json").unlink()
    assert inspect(str(unfinished), capsys)["stages"] == []
    assert main(["inspect", str(unfinished)]) == 0
    assert "0 of 3 stages are whole" in capsys.readouterr().out
