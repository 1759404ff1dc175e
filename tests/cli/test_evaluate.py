"""`tinyclip evaluate`: what it measures, prints and refuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinyclip.cli import evaluate as verb
from tinyclip.errors import UserError
from tinyclip.formats import lookup
from tinyclip.model.store import Loaded, save_model
from tinyclip.pipeline.exports import export


def pixels(image: Image.Image) -> torch.Tensor:
    grey = np.asarray(image.resize((16, 16)), dtype=np.float32) / 255
    return torch.from_numpy(grey).permute(2, 0, 1)


def tokens(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[1 + sum(t.encode()) % 40, 49] + [0] * 6 for t in texts])


@pytest.fixture
def models(pico_clip, monkeypatch):
    """Sources that load: name -> provenance."""
    provenances = {"teacher": {}, "student": {"teacher": "teacher"}, "orphan": {}}
    provenances["lost"] = {"teacher": "gone"}

    def load(spec: str, where: str = "--teacher") -> Loaded:
        if spec not in provenances:
            raise UserError(where, f"no model {spec!r}")
        config = {"provenance": provenances[spec]}
        return Loaded(pico_clip, pixels, tokens, config)

    monkeypatch.setattr(lookup, "load_source", load)
    return provenances


def drawn(folder: Path, count: int) -> str:
    """A source of pairs."""
    lines = ["path,caption"]
    for i in range(count):
        shade = 240 * i // count
        Image.new("RGB", (4, 4), (shade, 0, 255 - shade)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,caption {i}")
    (folder / "pairs.csv").write_text("\n".join(lines))
    return f"csv:{folder / 'pairs.csv'}"


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A source of eight pairs."""
    return drawn(tmp_path, 8)


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args(words))


def test_json_is_one_object_with_the_keys_of_the_contract(models, data, capsys) -> None:
    assert run("student", "--data", data, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["data"]) == ("student", data)
    task = report["tasks"]["retrieval"]
    assert task.keys() >= {"metric", "value", "ci95", "n", "teacher", "retention"}
    assert task["n"] == 8


def test_what_the_model_was_trained_on_is_measured_on_its_held_out_pairs(
    models, data, capsys
) -> None:
    models["student"]["data"] = data
    run("student", "--data", data, "--json")
    assert json.loads(capsys.readouterr().out)["tasks"]["retrieval"]["n"] == 4


def test_the_teacher_is_the_one_that_the_model_names(models, data, capsys) -> None:
    run("student", "--data", data, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["against"] == "teacher"
    # teacher and student are one model here
    task = report["tasks"]["retrieval"]
    assert task["teacher"] == task["value"]


def test_another_teacher_can_be_named(models, data, capsys) -> None:
    run("student", "--data", data, "--against", "orphan", "--json")
    assert json.loads(capsys.readouterr().out)["against"] == "orphan"


def test_a_named_teacher_that_cannot_be_loaded_is_refused(models, data) -> None:
    with pytest.raises(UserError, match="--against: no model 'nobody'"):
        run("student", "--data", data, "--against", "nobody")


@pytest.mark.parametrize(
    ("model", "message"), [("orphan", "names no teacher"), ("lost", "no model 'gone'")]
)
def test_without_a_teacher_it_says_why_there_is_no_retention(
    models, data, capsys, model: str, message: str
) -> None:
    assert run(model, "--data", data, "--json") == 0
    out, err = capsys.readouterr()
    assert message in err
    assert json.loads(out)["tasks"]["retrieval"]["retention"] is None


def test_a_task_that_keeps_too_little_is_exit_4_after_the_report(
    models, data, capsys, monkeypatch
) -> None:
    """Teacher and student are one model here, so it is half of itself that is lost."""
    from tinyclip.evaluation import suite

    found = suite.result

    def halved(*args):
        return {**found(*args), "retention": 0.5}

    monkeypatch.setattr(suite, "result", halved)
    words = ("student", "--data", data, "--json")
    assert run(*words, "--fail-under", "0.9") == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["tasks"]["retrieval"]["retention"] == 0.5
    assert "student keeps less than 90.0 % of its teacher: retrieval 50.0 %" in err
    assert run(*words, "--fail-under", "0.5") == 0


@pytest.mark.parametrize("share", ["90", "0", "-1", "nan", "most"])
def test_a_share_that_is_none_is_refused(models, data, share: str) -> None:
    with pytest.raises(UserError, match="--fail-under: .* is no share"):
        run("student", "--data", data, f"--fail-under={share}")


def test_without_a_teacher_nothing_can_be_kept(models, data) -> None:
    with pytest.raises(UserError) as caught:
        run("orphan", "--data", data, "--fail-under", "0.9")
    assert str(caught.value).startswith("--fail-under: the model names no teacher")


def test_alarms_stand_before_the_table(capsys) -> None:
    from tinyclip.cli.measured import tell_alarms

    alarm = {"task": "stl", "metric": "top1", "value": 0.13, "teacher": 0.932}
    alarm |= {"retention": 0.139, "chance": 0.1, "median": 0.9, "reasons": ["bound"]}
    tell_alarms([alarm], "stage 2")
    assert capsys.readouterr().out == (
        "ALARM stage 2: stl keeps 13.9 % of the teacher's top1 (13.0 % of 93.2 %, by "
        "chance 10.0 %); the median of its tasks is 90.0 %\n"
    )


def test_class_names_that_are_codes_are_one_message(models, tmp_path: Path) -> None:
    for name in ("n01440764", "n01443537"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.png")
    with pytest.raises(UserError, match="--set data.class_names=FILE"):
        run("student", "--data", f"folder:{tmp_path}")


def test_people_get_a_table(models, data, capsys) -> None:
    run("student", "--data", data)
    out = capsys.readouterr().out
    assert "retention" in out
    assert "image_to_text_r1" in out
    assert "text_to_image_r5" in out


def test_an_unknown_task_gets_the_nearest(models, data) -> None:
    with pytest.raises(UserError) as caught:
        run("student", "--data", data, "--tasks", "retreival")
    assert "Did you mean 'retrieval'?" in str(caught.value)


def test_tasks_come_in_the_order_asked_for() -> None:
    from tinyclip.data.tasks import Offer, pick

    offers = [Offer(name, lambda: None) for name in "abc"]
    asked = ["c", "a", "c"]
    assert [offer.name for offer in pick(offers, asked, "--tasks")] == ["c", "a"]


def test_groups_of_tasks_are_named_like_tasks(models, data, capsys) -> None:
    assert run("student", "--data", data, "--tasks", "usual,probes", "--json") == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert {"retrieval", "order"} <= tasks.keys()
    assert tasks["order"]["metric"] == "right"


def test_a_choice_s_parts_are_a_table_of_their_own(models, data, capsys) -> None:
    assert run("student", "--data", data, "--tasks", "order") == 0
    told = capsys.readouterr().out
    assert "choices by their parts" in told
    (row,) = [line for line in told.splitlines() if "all_words" in line]
    assert row.split()[:2] == ["order", "all_words"] and "50.0 %" in row
    assert "right_all_words" not in told


def foils(folder: Path, name: str = "0.png") -> str:
    """A source of two true and false captions of one picture."""
    Image.new("RGB", (4, 4), "red").save(folder / "0.png")
    entry = {"filename": name, "caption": "red and blue"}
    entries = {str(i): {**entry, "negative_caption": f"blue {i}"} for i in range(2)}
    (folder / "own.json").write_text(json.dumps(entries))
    return f"json:{folder / 'own.json'}"


def test_a_file_of_true_and_false_captions_is_measured_by_itself(
    models, tmp_path, capsys
) -> None:
    assert run("student", "--data", foils(tmp_path), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    (task,) = report["tasks"].values()
    assert [*report["tasks"]] == ["choice"]
    assert (task["n"], task["clusters"], task["chance"]) == (2, 1, 0.5)
    assert task["teacher"] == task["value"]


def test_a_file_of_choices_whose_picture_is_missing_is_refused(
    models, tmp_path, capsys
) -> None:
    with pytest.raises(UserError, match="own.json: 1 of 1 pictures are broken"):
        run("student", "--data", foils(tmp_path, "gone.png"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "0.png").rename(elsewhere / "gone.png")
    root = f"data.image_root={elsewhere}"
    words = ("--data", f"json:{tmp_path / 'own.json'}", "--set", root)
    assert run("student", *words, "--json") == 0


def test_a_group_that_the_data_has_nothing_of_is_refused(
    models, tmp_path, monkeypatch
) -> None:
    from tinyclip.data import tasks

    monkeypatch.setattr(tasks, "caption_offers", lambda told: ())
    with pytest.raises(UserError, match="--tasks: the data offers no probes"):
        run("student", "--data", drawn(tmp_path, 8), "--tasks", "probes")


def test_settings_of_the_data_can_be_given(models, data, tmp_path, capsys) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(file.read_text().replace("path,caption", "a,b"))
    settings = ("data.image_column=a", "data.caption_column=b")
    words = [word for setting in settings for word in ("--set", setting)]
    assert run("student", "--data", data, *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["retrieval"]["n"] == 8


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tasks=[clipart]", "has an option of its own here. Use --tasks"),
        ("data.source=csv:x", "has an option of its own here. Use --data"),
        ("seed=9", "only settings of the data are used here"),
        ("data={source: csv:x}", "only settings of the data are used here"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(
    models, data, setting: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        run("student", "--data", data, "--set", setting)
    assert str(caught.value).startswith(f"--set {setting}: {message}")


def test_a_model_that_is_none_is_refused(models, data) -> None:
    with pytest.raises(UserError, match="MODEL: no model 'nowhere'"):
        run("nowhere", "--data", data)


def test_data_that_is_none_is_refused(models) -> None:
    with pytest.raises(UserError, match="unknown source 'cvs'"):
        run("student", "--data", "cvs:x")


@pytest.mark.slow
def test_an_onnx_folder_is_as_good_as_its_export_measured(
    pico_loaded: Loaded, tmp_path: Path, capsys
) -> None:
    data = drawn(tmp_path, 60)
    provenance = {"data": data}  # so that both look at the held-out pairs
    folder, out = tmp_path / "student", tmp_path / "onnx"
    save_model(folder, *pico_loaded, provenance=provenance, teacher_sizes=None)
    parity = export(folder, "onnx", out=out, data=data)["parity"]
    assert run(str(out), "--data", data, "--json") == 0
    task = json.loads(capsys.readouterr().out)["tasks"]["retrieval"]
    assert parity["tasks"]["onnx"]["retrieval image_to_text_r1"] == task["value"]
    assert parity["tasks"]["n"] == task["n"]
