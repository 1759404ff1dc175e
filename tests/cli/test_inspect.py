"""`tinyclip inspect --json`: the keys that others lean on, counted on the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tinyclip.cli.main import main
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
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_contracts_keys_are_there(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect(str(saved), capsys)
    assert set(found["params"]) == {
        "total",
        "encoder",
        "image",
        "text",
        "token_embedding",
    }
    assert set(found["macs"]) == set(found["embed"]) == {"image", "text"}
    assert found["layers"]["image"][1] == {"heads": 3, "ffn": 28}
    assert found["certificate"]["max_abs_diff"] == 3e-7
    assert found["provenance"]["teacher"] == "builtin:pictoclip"


def test_params_are_counted_as_the_file_holds_them(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect(str(saved), capsys)
    stored = load_file(saved / "model.safetensors")
    towers = ("image.", "text.")
    encoder = [n for n in stored if ".attention." in n or ".ffn." in n]
    assert found["params"]["total"] == sum(v.size for v in stored.values())
    assert found["params"]["encoder"] == sum(stored[n].size for n in encoder)
    for tower in towers:
        counted = sum(v.size for n, v in stored.items() if n.startswith(tower))
        assert found["params"][tower[:-1]] == counted
    assert found["bytes"] == (saved / "model.safetensors").stat().st_size


def test_shares_are_of_the_teachers(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect(str(saved), capsys)
    for key, whole in TEACHER.items():
        assert found["share"][key] == found["params"][key] / whole


def test_a_run_is_its_model(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = inspect(str(saved.parent), capsys)
    assert run["params"] == inspect(str(saved), capsys)["params"]


def test_a_teacher_source_is_all_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    found = inspect("builtin:pico", capsys)
    assert found["share"] == {"encoder": 1.0, "total": 1.0}
    assert found["certificate"] is None


def test_the_table_shows_widths_and_source(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(saved)]) == 0
    shown = capsys.readouterr().out
    for wanted in ("heads  4 3", "ffn    32 28", "teacher: builtin:pictoclip"):
        assert wanted in shown


def test_an_unknown_model_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no/such/model"]) == 2
    assert "no/such/model" in capsys.readouterr().err
