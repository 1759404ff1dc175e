"""`tinyclip bench`: one JSON object, the first model as the measure, plain errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tinyclip.cli.bench import best_batches, in_words
from tinyclip.cli.main import main
from tinyclip.errors import UserError
from tinyclip.formats.onnx.export import export_onnx
from tinyclip.formats.parity import random_probe
from tinyclip.model.store import Loaded, save_model
from tinyclip.pipeline.alone import alone, files_of


@pytest.fixture
def saved(pico_loaded: Loaded, tmp_path: Path) -> Path:
    model, preprocess, tokenizer = pico_loaded
    folder = tmp_path / "student"
    save_model(folder, model, preprocess, tokenizer, provenance={}, teacher_sizes=None)
    return folder


def bench(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["bench", *argv, "--rounds", "2", "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_models_are_compared_with_the_first(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = bench(capsys, "builtin:pico", str(saved), "--batch", "1,2", "--no-alone")
    assert report["against"] == "builtin:pico"
    assert [model["name"] for model in report["models"]] == ["builtin:pico", str(saved)]
    small = report["models"][1]
    assert [row["batch"] for row in small["timings"]] == [1, 2, 1, 2]
    assert small["bytes"] == 4 * small["params"]["total"]


def test_against_puts_another_first(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = bench(
        capsys, str(saved), "--against", "builtin:pico", "--batch", "1", "--no-alone"
    )
    assert [model["name"] for model in report["models"]] == ["builtin:pico", str(saved)]


def test_threads_are_set_and_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_num_threads()
    report = bench(
        capsys,
        "builtin:pico",
        "--batch",
        "1",
        "--threads",
        str(before + 1),
        "--no-alone",
    )
    assert report["threads"] == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_an_onnx_folder_runs_in_onnx_runtime(
    pico_loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_onnx(pico_loaded, tmp_path / "onnx", random_probe(4))
    report = bench(capsys, "builtin:pico", str(tmp_path / "onnx"), "--batch", "1")
    first, second = report["models"]
    assert (first["runtime"], second["runtime"]) == ("pytorch", "onnxruntime")
    assert second["bytes"] == sum(
        file.stat().st_size for file in (tmp_path / "onnx").glob("*.onnx")
    )


def test_the_table_names_models_and_progress_stays_on_stderr(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bench", "builtin:pico", str(saved), "--batch", "1", "--rounds", "1"]
    assert main(argv) == 0
    shown = capsys.readouterr()
    assert "speed-up" in shown.out
    assert "builtin:pico" in shown.out
    assert "image tower, batch 1" in shown.err
    assert "in turn ..." not in shown.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--batch", "1,x"], "--batch: 'x' is not a whole number"),
        (["--batch", "0"], "--batch: '0'"),
        (["--rounds", "-1"], "--rounds"),
        (["--threads", "1.5"], "--threads: '1.5'"),
        (["no/such/model"], "no/such/model"),
        (["--against", "no/such/model"], "--against"),
    ],
)
def test_what_makes_no_sense_is_exit_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "builtin:pico", *argv]) == 2
    assert words in capsys.readouterr().err


def test_no_model_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 2
    assert "MODEL" in capsys.readouterr().err


def test_a_sweep_goes_in_powers_of_two(capsys: pytest.CaptureFixture[str]) -> None:
    report = bench(capsys, "builtin:pico", "--sweep", "5", "--no-alone")
    rows = report["models"][0]["timings"]
    assert [row["batch"] for row in rows] == [1, 2, 4, 1, 2, 4]
    best = {"image": 0, "text": 0}
    for row in rows:
        most = max(r["per_second"] for r in rows if r["tower"] == row["tower"])
        if row["per_second"] == most:
            best[row["tower"]] = row["batch"]
    assert best_batches(rows) == best


def test_each_is_loaded_once_in_a_process_of_its_own(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model,) = bench(capsys, str(saved), "--batch", "1")["models"]
    alone = model["alone"]
    assert set(alone) == {"load_seconds", "peak_bytes", "own_bytes"}
    assert alone["load_seconds"] > 0
    assert alone["peak_bytes"] > alone["own_bytes"] >= 0
    assert model["files"] == {
        path.name: path.stat().st_size for path in saved.iterdir()
    }
    assert "beyond the libraries" in in_words(model)


def test_what_dies_alone_is_one_message(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="ended with 1 when it was loaded alone: noth"):
        alone(str(saved), 1)
    assert files_of("builtin:pico") is None
