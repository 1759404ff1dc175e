"""`tinyclip.cache`: the same cache from Python as from the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import tinyclip
from tinyclip.cli.main import main
from tinyclip.errors import Interrupted, UserError


@pytest.fixture
def data(pairs_csv: Path) -> str:
    return f"csv:{pairs_csv}"


class Seen:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.phases: list[tuple[Any, ...]] = []
        self.steps: list[int] = []

    def plan(self, plan: dict[str, Any]) -> None:
        raise AssertionError("a cache has no plan")

    def phase(self, *figures: Any) -> None:
        self.phases.append(figures)

    def step(self, record: dict[str, Any]) -> None:
        self.steps.append(record["step"])


def test_it_is_the_cache_of_the_command_line(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_python = tinyclip.cache("builtin:pico", data, tmp_path / "py", augmentations=2)
    argv = ["cache", "--teacher", "builtin:pico", "--data", data, "--json"]
    assert main([*argv, "--out", str(tmp_path / "cli"), "--augmentations", "2"]) == 0
    of_verb = json.loads(capsys.readouterr().out)
    assert {**of_python, "out": ""} == {**of_verb, "out": ""}
    assert of_python["content"] and of_python["kept"] == 0


def test_settings_are_values_and_never_text(data: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a # b: c"):
        tinyclip.cache("builtin:pico", data, tmp_path / "o", caption_column="a # b: c")
    with pytest.raises(UserError, match="augmentations"):
        tinyclip.cache("builtin:pico", data, tmp_path / "o", augmentations="2")
    with pytest.raises(UserError, match="Did you mean 'crop'"):
        tinyclip.cache("builtin:pico", data, tmp_path / "o", crops=0.5)
    with pytest.raises(UserError, match="Did you mean 'float16'"):
        tinyclip.cache("builtin:pico", data, tmp_path / "o", dtype="float17")
    with pytest.raises(UserError, match="cache: source: is what `data` names"):
        tinyclip.cache("builtin:pico", data, tmp_path / "o", source=data)
    with pytest.raises(UserError, match=r"'pairs.csv' does not say .* csv:pairs.csv"):
        tinyclip.cache("builtin:pico", Path("pairs.csv"), tmp_path / "o")
    with pytest.raises(UserError, match="cache: teacher: wants text, not 3"):
        tinyclip.cache(3, data, tmp_path / "o")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cache: out: wants a path, not 3"):
        tinyclip.cache("builtin:pico", data, 3)  # type: ignore[arg-type]
    assert not (tmp_path / "o").exists()


def test_types_have_either_spelling(data: str, tmp_path: Path) -> None:
    short = {"dtype": "bf16", "precision": "fp32"}
    long = {"dtype": "bfloat16", "precision": "float32"}
    made = [
        tinyclip.cache("builtin:pico", data, tmp_path / words["dtype"], **words)
        for words in (short, long)
    ]
    assert made[0]["made_of"] == made[1]["made_of"]
    assert made[0]["dtype"] == "bfloat16"


def test_the_data_may_be_a_table_of_its_settings(data: str, tmp_path: Path) -> None:
    table = {"source": data, "augmentations": 2}
    report = tinyclip.cache("builtin:pico", table, tmp_path / "table")
    assert (report["data"], report["augmentations"]) == (data, 2)


def test_a_watcher_sees_how_far_it_is(data: str, tmp_path: Path) -> None:
    seen = Seen()
    report = tinyclip.cache("builtin:pico", data, tmp_path / "out", watcher=seen)
    total = report["pairs"] + report["captions"]
    assert seen.phases == [(0, "teacher features", 0, total)]
    assert seen.steps == sorted(seen.steps) and seen.steps[-1] == total


def test_it_stops_when_asked_and_the_line_it_names_goes_on(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(Interrupted) as stopped:
        tinyclip.cache(
            "builtin:pico",
            data,
            out,
            seed=4,
            crop=0.8,
            augmentations=2,
            stop=lambda: True,
        )
    words = shlex.split(stopped.value.command)
    assert words[0] == "tinyclip"
    assert main([*words[1:], "--json"]) == 0
    made_of = json.loads(capsys.readouterr().out)["made_of"]
    assert (made_of["seed"], made_of["crop"], made_of["augmentations"]) == (4, 0.8, 2)
