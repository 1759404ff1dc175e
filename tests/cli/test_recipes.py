"""`tinyclip recipes` and `tinyclip stages`: ls, show, copy, validate."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from tinyclip.cli.main import main
from tinyclip.config import shelf
from tinyclip.config.load import load_recipe, load_stage

KINDS = pytest.mark.parametrize("kind", ["recipes", "stages"])
LOADED = {"recipes": (load_recipe, "demo"), "stages": (load_stage, "score")}


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command that works and gives what it printed."""

    def run(*arguments: str) -> str:
        assert main(list(arguments)) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command that is refused and gives the message."""

    def run(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return run


@KINDS
def test_ls_says_what_each_entry_is_for(output: Any, kind: str) -> None:
    lines = output(kind, "ls").splitlines()
    assert [line.split()[0] for line in lines] == shelf.names(kind)
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)
    assert "#" not in "".join(lines)


@KINDS
def test_ls_as_json_is_one_object(output: Any, kind: str) -> None:
    entries = json.loads(output(kind, "ls", "--json"))
    assert list(entries) == shelf.names(kind)


@KINDS
def test_what_show_prints_loads_back_equal(
    output: Any, somewhere: Path, kind: str
) -> None:
    load, name = LOADED[kind]
    (somewhere / "shown.yaml").write_text(output(kind, "show", name))
    assert load("shown.yaml") == load(name)


@KINDS
def test_show_as_json_holds_the_same(output: Any, kind: str) -> None:
    name = LOADED[kind][1]
    shown = json.loads(output(kind, "show", name, "--json"))
    stage = shown["stages"][0] if kind == "recipes" else shown
    assert stage["learn"]["optim"]["betas"] == [0.9, 0.98]  # a default, written out


def test_show_takes_a_file_too(output: Any, somewhere: Path) -> None:
    (somewhere / "mine.yaml").write_text("seed: 5\nstages: [{target: 0.5}]")
    assert "seed: 5  # " in output("recipes", "show", "mine.yaml")


@KINDS
def test_a_copy_is_the_shipped_file_with_its_comments(
    output: Any, somewhere: Path, kind: str
) -> None:
    load, name = LOADED[kind]
    assert output(kind, "copy", name) == f"{name}.yaml\n"
    assert (somewhere / f"{name}.yaml").read_text() == shelf.read(kind, name)
    assert load(f"./{name}.yaml") == load(name)


def test_a_copy_goes_where_it_is_told(output: Any, somewhere: Path) -> None:
    (somewhere / "folder").mkdir()
    assert output("recipes", "copy", "demo", "mine.yaml") == "mine.yaml\n"
    assert output("recipes", "copy", "demo", "folder") == "folder/demo.yaml\n"
    entry = json.loads(output("recipes", "copy", "demo", "b.yaml", "--json"))
    assert entry == {"copied": "b.yaml"}
    for file in ("mine.yaml", "folder/demo.yaml", "b.yaml"):
        assert (somewhere / file).read_text() == shelf.read("recipes", "demo")


def test_a_copy_replaces_nothing(refused: Any, somewhere: Path) -> None:
    (somewhere / "demo.yaml").write_text("mine")
    assert "demo.yaml: exists already" in refused("recipes", "copy", "demo")
    assert (somewhere / "demo.yaml").read_text() == "mine"


def test_a_copy_that_cannot_be_written_is_refused(
    refused: Any, somewhere: Path
) -> None:
    assert "cannot be written" in refused("recipes", "copy", "demo", "no/demo.yaml")
    assert list(somewhere.iterdir()) == []


def test_a_copy_that_does_not_fit_leaves_nothing(refused: Any, somewhere: Path) -> None:
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        words = refused("recipes", "copy", "demo")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    assert "demo.yaml: cannot be written (File too large)" in words
    assert list(somewhere.iterdir()) == []


@pytest.mark.parametrize("action", ["show", "copy", "validate"])
@KINDS
def test_an_unknown_name_gets_the_nearest(refused: Any, kind: str, action: str) -> None:
    name = LOADED[kind][1]
    assert f"Did you mean '{name}'?" in refused(kind, action, f"{name}e")


@KINDS
def test_everything_that_ships_is_valid(output: Any, kind: str) -> None:
    names = shelf.names(kind)
    assert output(kind, "validate", *names).splitlines() == [
        f"{n}: fine" for n in names
    ]


def test_validate_checks_every_file_and_names_what_is_wrong(
    capsys: pytest.CaptureFixture[str], somewhere: Path
) -> None:
    (somewhere / "a.yaml").write_text("sede: 5")
    (somewhere / "b.yaml").write_text(
        "stages: [{target: 0.5, distil: {losses: {afinity: 1.0}}}]"
    )
    assert main(["recipes", "validate", "a.yaml", "demo", "b.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == "demo: fine\n"
    first, second = err.splitlines()
    assert "a.yaml: unknown key 'sede'. Did you mean 'seed'?" in first
    assert "b.yaml: stages[0].distil.losses: unknown objective 'afinity'" in second


def test_validate_as_json_is_one_object(
    capsys: pytest.CaptureFixture[str], somewhere: Path
) -> None:
    (somewhere / "a.yaml").write_text("sede: 5")
    assert main(["recipes", "validate", "a.yaml", "demo", "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] is False
    assert report["errors"]["demo"] is None
    assert "sede" in report["errors"]["a.yaml"]
