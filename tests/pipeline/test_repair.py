"""`tinyclip.repair`: what it writes, what it leaves as it was, what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tinyclip
from tinyclip.data.tasks import RetrievalTask
from tinyclip.errors import TinyclipError, UserError
from tinyclip.model.store import Loaded, load_model, save_model
from tinyclip.pipeline import quality
from tinyclip.pipeline import repair as room
from tinyclip.pipeline import repaired as writer

COLOURS = ("red", "green", "blue", "grey", "white", "black", "brown", "pink")
THINGS = ("cube", "ball", "cup", "hat", "dog", "cat", "tree", "car")
COUNT = 160
FILES = {
    "README.md",
    "bpe.txt.gz",
    "config.json",
    "metrics.json",
    "model.safetensors",
    "repair.safetensors",
}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Noisy pictures under captions of two things of two colours."""
    folder = tmp_path_factory.mktemp("scenes")
    draw = np.random.default_rng(0)
    with (folder / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for i in range(COUNT):
            pixels = draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
            one, two = draw.choice(8, 2, replace=False)
            three, four = draw.choice(8, 2, replace=False)
            said = (
                f"a {COLOURS[one]} {THINGS[three]} and a {COLOURS[two]} {THINGS[four]}"
            )
            rows.writerow([f"{i}.png", said])
    return f"csv:{folder / 'pairs.csv'}"


@pytest.fixture
def repaired(scenes: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Repair a pico model in a few steps, wholly unless the test says otherwise."""

    def repair(out: str = "out", model: str = "builtin:pico", **more: Any) -> Any:
        return tinyclip.repair(model, scenes, tmp_path / out, **{"steps": 4, **more})

    return repair


@pytest.fixture
def wholly(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the map is taken, whatever it does to held-out pairs."""
    monkeypatch.setattr(room, "best", lambda weighed: weighed[-1])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def text_features(folder: str | Path) -> torch.Tensor:
    loaded = tinyclip.load(folder)
    texts = [f"a {one} {two}" for one, two in zip(COLOURS, THINGS, strict=True)]
    with torch.no_grad():
        return loaded.model.encode_text(loaded.tokenizer(texts), normalize=True)


@pytest.mark.usefixtures("wholly")
@pytest.mark.parametrize("model", ["builtin:pico", "builtin:pico-siglip"])
def test_a_whole_model_directory_is_written(
    model: str, repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    report = repaired(model=model)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert report["written"]["max_abs_diff"] < 1e-6
    assert not torch.equal(text_features(tmp_path / "out"), text_features(model))
    about = json.loads((tmp_path / "out" / "config.json").read_text())["repair"]
    assert about["data"] == report["data"]
    assert (about["pairs"], about["swapped"], about["steps"]) == (80, 80, 4)
    assert about["right"] == {k: report["gain"][k] for k in ("before", "after", "n")}


@pytest.mark.usefixtures("wholly")
def test_folded_it_is_the_same_model_without_a_map(
    repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    repaired("beside")
    report = repaired("inside", fold=True)
    assert report["folded"] and report["written"]["max_abs_diff"] < 1e-6
    assert not (tmp_path / "inside" / "repair.safetensors").exists()
    both = text_features(tmp_path / "beside"), text_features(tmp_path / "inside")
    torch.testing.assert_close(*both, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("wholly")
def test_the_model_that_is_repaired_is_not_touched(
    repaired: Callable[..., dict[str, Any]],
    pico_loaded: Loaded,
    tmp_path: Path,
) -> None:
    plain = tinyclip.load("builtin:pico")
    origin = {"teacher": "builtin:pico", "stage": 2}
    save_model(tmp_path / "in", *plain, provenance=origin, teacher_sizes=None)
    before = contents(tmp_path / "in")
    repaired(model=str(tmp_path / "in"))
    assert contents(tmp_path / "in") == before
    name = "model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == before[name]
    assert load_model(tmp_path / "out").config["provenance"] == origin


@pytest.mark.usefixtures("wholly")
def test_the_type_of_the_weights_stays(
    repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    plain = tinyclip.load("builtin:pico")
    half = {"provenance": {}, "teacher_sizes": None, "dtype": "float16"}
    save_model(tmp_path / "in", *plain, **half)
    repaired("beside", model=str(tmp_path / "in"))
    name = "model.safetensors"
    both = tmp_path / "in" / name, tmp_path / "beside" / name
    assert both[0].read_bytes() == both[1].read_bytes()
    assert repaired("inside", str(tmp_path / "in"), fold=True)["folded"]
    assert load_model(tmp_path / "inside").config["dtype"] == "float16"


@pytest.mark.usefixtures("wholly")
def test_equal_arguments_are_equal_bytes_and_another_seed_is_another_map(
    repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        repaired(name, seed=seed)
    one, same, other = (contents(tmp_path / n) for n in ("one", "same", "other"))
    assert one == same
    assert one["repair.safetensors"] != other["repair.safetensors"]


@pytest.mark.usefixtures("wholly")
@pytest.mark.usefixtures("wholly")
def test_it_stands_beside_the_teacher_that_the_model_names(
    repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    student = tinyclip.load("builtin:pico")
    about = {"provenance": {"teacher": "builtin:pico"}, "teacher_sizes": None}
    save_model(tmp_path / "student", *student, **about)
    repaired(model=str(tmp_path / "student"))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["alarms"] == []
    for task in metrics["tasks"].values():
        assert task["teacher"] is not None
        assert task["difference"]["value"] == task["value"] - task["teacher"]


@pytest.mark.usefixtures("wholly")
def test_a_teacher_that_is_gone_is_said_and_nothing_is_beside_it(
    repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    student, said = tinyclip.load("builtin:pico"), list[str]()
    about = {"provenance": {"teacher": "gone"}, "teacher_sizes": None}
    save_model(tmp_path / "student", *student, **about)
    report = repaired(model=str(tmp_path / "student"), say=said.append)
    assert any("teacher cannot be loaded" in line for line in said)
    assert report["alarms"] == []


@pytest.mark.parametrize("fold", [False, True])
def test_a_repaired_model_is_repaired_on_top(
    fold: bool, repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    repaired("one", fold=fold)
    report = repaired("two", str(tmp_path / "one"))
    assert report["times"] == 2
    assert report["gain"]["before"] == repaired("three")["gain"]["after"]
    assert load_model(tmp_path / "two").config["repair"]["times"] == 2


def test_a_map_that_helps_nothing_is_the_identity_and_is_said(
    repaired: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "best", lambda weighed: weighed[0])
    report = repaired()
    assert report["strength"] == 0
    assert report["gain"]["difference"]["value"] == 0
    assert torch.equal(text_features(tmp_path / "out"), text_features("builtin:pico"))


def test_what_it_cost_is_told_on_pairs_that_nothing_was_chosen_on(
    repaired: Callable[..., dict[str, Any]],
) -> None:
    report = repaired()
    assert list(report["tasks"]) == ["retrieval"]
    assert report["tasks"]["retrieval"]["n"] == report["gain"]["n"] == 40
    assert [each["strength"] for each in report["strengths"]] == [
        *(0.0, 0.25, 0.5, 0.75, 1.0)
    ]


def test_what_repaired_a_model_is_measured_on_its_held_out_pairs_afterwards(
    repaired: Callable[..., dict[str, Any]], scenes: str, tmp_path: Path
) -> None:
    repaired()
    asked = quality.Asked(room.load_recipe("standard", [f"data.source={scenes}"]).data)
    found = quality.measure(str(tmp_path / "out"), asked, lambda _: None)
    assert found["tasks"]["retrieval"]["n"] == 80


def test_a_picture_that_cannot_be_read_is_left_out_and_too_many_are_refused(
    tmp_path: Path, scenes: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(scenes.removeprefix("csv:")).parent
    lines = (folder / "pairs.csv").read_text().splitlines()
    spoilt = [lines[0], *(f"{folder}/{line}" for line in lines[1:])]
    for i in range(1, 31):  # some of each part, whatever the hashes of the paths
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
        spoilt[i] = f"{i}.png,{lines[i].split(',', 1)[1]}"
    (tmp_path / "pairs.csv").write_text("\n".join(spoilt))
    source, out = f"csv:{tmp_path / 'pairs.csv'}", tmp_path / "out"
    with pytest.raises(UserError, match="more than the share of 0.01"):
        tinyclip.repair("builtin:pico", source, out, steps=1)
    assert not out.exists()
    tinyclip.repair("builtin:pico", source, out, steps=1, max_broken_share=0.5)
    assert "broken pictures were left out" in caplog.text


def test_what_is_left_of_a_part_without_broken_pictures_has_to_be_enough(
    scenes: str, tmp_path: Path
) -> None:
    folder = Path(scenes.removeprefix("csv:")).parent
    data = room.load_recipe("standard", [f"data.source={scenes}"]).data
    choose = room.parts_of(data, 0).choose.pairs
    shutil.copytree(folder, tmp_path / "spoilt")
    for row in range(1, len(choose)):  # one is left
        (tmp_path / "spoilt" / choose.key(row)).write_bytes(b"no picture")
    source, out = f"csv:{tmp_path / 'spoilt' / 'pairs.csv'}", tmp_path / "out"
    with pytest.raises(UserError, match="of 1 captions .* to choose its strength on"):
        tinyclip.repair("builtin:pico", source, out, steps=1, max_broken_share=1.0)
    assert not out.exists()


def test_what_cannot_be_is_refused_before_a_model_is_loaded(
    scenes: str, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    new = tmp_path / "new"
    for words, arguments, more in (
        ("exists and is not empty", (scenes, tmp_path / "taken"), {}),
        ("--steps: wants 1 or more", (scenes, new), {"steps": 0}),
        ("--seed: .* less than 2.63", (scenes, new), {"seed": 2**63}),
        ("no setting 'colour'|colour", (scenes, new), {"colour": "red"}),
        ("cannot be read|no such file|does not exist", ("csv:no.csv", new), {}),
        ("names no new folder", (scenes, ""), {}),
    ):
        with pytest.raises(UserError, match=words):
            tinyclip.repair("no/such/model", *arguments, **more)
    assert not new.exists()


def test_pairs_without_two_words_of_a_kind_are_refused_before_a_model_is_loaded(
    scenes: str, tmp_path: Path
) -> None:
    folder = Path(scenes.removeprefix("csv:")).parent
    rows = [f"{folder}/{i}.png,cat" for i in range(COUNT)]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,caption", *rows]))
    with pytest.raises(UserError, match="two words of a kind"):
        tinyclip.repair("none", f"csv:{tmp_path / 'pairs.csv'}", tmp_path / "out")


def test_words_that_the_model_does_not_read_are_none_to_swap(
    scenes: str, tmp_path: Path
) -> None:
    folder = Path(scenes.removeprefix("csv:")).parent
    long = "the " * 20 + "red cube and the blue ball"  # pico reads 16 tokens
    rows = [f"{folder}/{i}.png,{long}" for i in range(COUNT)]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,caption", *rows]))
    source = f"csv:{tmp_path / 'pairs.csv'}"
    with pytest.raises(UserError, match="of 80 captions .* 0 have two words"):
        tinyclip.repair("builtin:pico", source, tmp_path / "out")


def test_a_task_on_pictures_that_the_strength_is_chosen_on_is_left_out(
    scenes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = room.load_recipe("standard", [f"data.source={scenes}"]).data
    parts = room.parts_of(data, 0)
    tasks = {
        name: RetrievalTask(name, part.pairs)
        for name, part in (("chosen", parts.choose), ("told", parts.tell))
    }
    monkeypatch.setattr(room, "tasks_of", lambda *_, **__: [*tasks.values()])
    assert room._tasks(data, parts) == [tasks["told"]]


def test_what_has_no_weights_is_refused(
    repaired: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"format": "onnx"}))
    with pytest.raises(UserError):
        repaired(model=str(folder))
    assert not (tmp_path / "out").exists()


def test_a_damaged_certificate_is_told_before_anything_is_learnt(
    scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pico = tinyclip.load("builtin:pico")
    save_model(tmp_path / "model", *pico, provenance={}, teacher_sizes=None)
    (tmp_path / "model" / "certificate.json").write_text('{"n": 1}')
    monkeypatch.setattr(room, "encoder_of", lambda loaded: pytest.fail("too late"))
    with pytest.raises(UserError, match="certificate.json: is damaged"):
        tinyclip.repair(tmp_path / "model", scenes, tmp_path / "out")


def test_nothing_is_left_where_what_was_written_is_another_model(
    repaired: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "BOUND", -1.0)
    with pytest.raises(TinyclipError, match="is not the repaired model"):
        repaired()
    assert not list(tmp_path.glob("*out*"))
