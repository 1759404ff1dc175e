"""`tinyclip repair`: what it says, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinyclip.cli.main import main
from tinyclip.cli.repair import verdict

COUNT = 120


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Pairs of one picture, whose captions say what none of it shows."""
    from PIL import Image

    lines = ["image,caption"]
    for i in range(COUNT):
        Image.new("RGB", (4, 4), (2 * i, 0, 255 - i)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,a red cube and a blue ball number {i}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return f"csv:{tmp_path / 'pairs.csv'}"


def arguments(data: str, out: Path, *more: str) -> list[str]:
    steps = ["--steps", "2", "--out", str(out), *more]
    return ["repair", "builtin:pico", "--data", data, *steps]


def test_json_is_one_object(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(data, tmp_path / "out", "--json", "--fold")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["folded"] and report["out"] == str(tmp_path / "out")
    assert report["gain"].keys() == {"metric", "before", "after", "n", "difference"}
    assert report["seconds"].keys() == {"features", "steps"}


def test_people_read_what_it_gained_and_what_it_cost(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(data, tmp_path / "out")) == 0
    shown = capsys.readouterr().out
    assert "swapped" in shown and "retrieval" in shown
    assert "It gained" in shown or "It lost" in shown
    assert "the map lies beside its weights" in shown


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--steps", "0"], "--steps: wants 1 or more"),
        (["--steps", "few"], "invalid int value"),
        (["--set", "seed=1"], "Use --seed"),
        (["--set", "data.limit=8"], "and 16 are needed"),
    ],
)
def test_a_mistake_is_one_message_and_no_folder(
    data: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    words: str,
) -> None:
    assert main(arguments(data, tmp_path / "out", *more)) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_folder_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair", "builtin:pico"]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("strength", "interval", "words"),
    [
        (0.0, [0.0, 0.0], "It gained nothing: "),
        (1.0, [-0.1, 0.2], "nothing that the held-out captions can tell from chance"),
        (1.0, [0.1, 0.2], "It gained: "),
        (1.0, [-0.2, -0.1], "It lost: "),
    ],
)
def test_the_verdict_is_plain(
    strength: float, interval: list[float], words: str
) -> None:
    difference: dict[str, Any] = {"value": sum(interval) / 2, "ci95": interval}
    report = {"strength": strength, "gain": {"difference": difference}}
    assert words in verdict(report)
