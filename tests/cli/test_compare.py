"""`tinyclip compare`: several models on the same items; and a run that still goes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tinyclip.cli import compare as verb
from tinyclip.cli.main import run as command
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.formats import lookup
from tinyclip.model.store import Loaded, save_model
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.unfinished import usable


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A source of twelve pairs."""
    lines = ["path,caption"]
    for i in range(12):
        Image.new("RGB", (4, 4), (20 * i, 9, 255 - 20 * i)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,caption {i}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return f"csv:{tmp_path / 'pairs.csv'}"


@pytest.fixture
def models(pico_loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Sources that load, each with the teacher it names; pictures are decoded by one
    preprocess."""
    teachers = {"a": "teacher", "b": "teacher", "other": "another", "teacher": ""}

    def load(spec: str, where: str = "--teacher") -> Loaded:
        if spec not in teachers:
            raise UserError(where, f"no model {spec!r}")
        config = {"provenance": {"teacher": teachers[spec]}}
        return Loaded(*pico_loaded, config)

    monkeypatch.setattr(lookup, "load_source", load)
    return teachers


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args(words))


def test_json_has_each_model_beside_the_teacher_and_the_first(
    models, data, capsys
) -> None:
    assert run("a", "b", "--data", data, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["data", "against", "models"]
    assert report["against"] == "teacher"
    assert [entry["model"] for entry in report["models"]] == ["a", "b"]
    for entry in report["models"]:
        assert set(entry) == {"model", "alarms", "tasks", "against_first"}
        task = entry["tasks"]["retrieval"]
        assert task["teacher"] == task["value"]
        assert task["fidelity"]["top1_agreement"] == 1
        # one model under two names
        difference = entry["against_first"]["retrieval"]
        assert (difference["value"], difference["ci95"]) == (0, [0, 0])


def test_each_picture_is_decoded_once_for_all_models(models, data, monkeypatch) -> None:
    from tinyclip.data.files import FilePairs

    decoded: list[int] = []
    image = FilePairs.image
    monkeypatch.setattr(
        FilePairs, "image", lambda self, i: decoded.append(i) or image(self, i)
    )
    run("a", "b", "--data", data, "--json")
    assert sorted(decoded) == list(range(12))


def test_people_get_a_line_a_model(models, data, capsys) -> None:
    run("a", "b", "--data", data)
    out = capsys.readouterr().out
    assert out.count("image_to_text_r1") == 2
    assert "differences from a in points" in " ".join(out.split())
    assert "+0.0 (+0.0 to +0.0)" in out


def test_models_of_several_teachers_have_no_retention_and_it_is_said(
    models, data, capsys
) -> None:
    run("a", "other", "--data", data, "--json")
    out, err = capsys.readouterr()
    assert "the models name several teachers (teacher, another)" in err
    report = json.loads(out)
    assert report["against"] is None
    assert report["models"][1]["tasks"]["retrieval"]["retention"] is None


def test_a_model_that_is_none_is_refused_before_anything_is_measured(
    models, data
) -> None:
    with pytest.raises(UserError, match="MODEL: no model 'nobody'"):
        run("a", "nobody", "--data", data)


def test_any_model_that_keeps_too_little_is_exit_4(
    models, data, capsys, monkeypatch
) -> None:
    from tinyclip.evaluation import suite

    found, kept = suite.result, iter((1.0, 0.8))

    def changed(*args: Any) -> dict[str, Any]:
        return {**found(*args), "retention": next(kept)}

    monkeypatch.setattr(suite, "result", changed)
    assert run("a", "b", "--data", data, "--json", "--fail-under", "0.9") == 4
    assert "b keeps less than 90.0 %" in capsys.readouterr().err


@pytest.fixture
def going(pico_loaded: Loaded, tmp_path: Path) -> RunDir:
    """A run of two stages, of which the first is whole."""
    run = RunDir(tmp_path / "run")
    run.make()
    recipe = Recipe()
    stage = recipe.stages[0]
    from dataclasses import replace

    stages = (replace(stage, target=0.75), replace(stage, target=0.5))
    recipe = replace(recipe, stages=stages)
    run.begin(recipe)
    return run


def whole(run: RunDir, loaded: Loaded) -> None:
    folder = run.stages(run.recipe())[0]
    save_model(
        folder.model,
        *loaded,
        provenance={"teacher": "builtin:pico"},
        teacher_sizes=None,
    )
    folder.write_done({"fingerprint": "f", "samples": 0, "sizes": {}})


def test_of_a_run_that_still_goes_the_last_whole_stage_is_taken(
    going: RunDir, pico_loaded: Loaded, data: str, capsys
) -> None:
    whole(going, pico_loaded)
    words = ["evaluate", f"run:{going.path}", "--data", data, "--json"]
    assert command(words) == 0
    out, err = capsys.readouterr()
    assert "stage 1 of 2 is whole, and is taken" in err
    report = json.loads(out)
    assert report["model"] == f"run:{going.path}"
    assert report["against"] == "builtin:pico"
    assert report["tasks"]["retrieval"]["n"] == 12


def test_a_run_without_a_whole_stage_is_one_message(
    going: RunDir, data, capsys
) -> None:
    assert command(["evaluate", str(going.path), "--data", data]) == 2
    err = capsys.readouterr().err
    assert f"{going.path}: none of its 2 stages is whole yet" in err


@pytest.mark.parametrize("name", ["builtin:pico", "hf:some/where", "no/such/folder"])
def test_another_name_is_left_as_it_is(name: str) -> None:
    assert usable(name, SimpleNamespace()) == name  # type: ignore[arg-type]
