"""`evaluate --tasks few_shots`: from pictures to figures, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tinyclip.cli.main import main
from tinyclip.data.task import ADAPTATIONS
from tinyclip.evaluation import adapter, coop

DRAWS = "--set", "data.shot_draws=2"


@pytest.fixture
def few_steps(monkeypatch) -> None:
    monkeypatch.setattr(adapter, "STEPS", 3)
    monkeypatch.setattr(coop, "STEPS", 2)


@pytest.fixture
def folders(tmp_path: Path) -> str:
    """Two classes of six pictures, one much darker."""
    for name, low in (("dark", 0), ("light", 180)):
        for i in range(6):
            path = tmp_path / "pictures" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (low + 10 * i,) * 3).save(path)
    return f"folder:{tmp_path / 'pictures'}"


@pytest.mark.usefixtures("few_steps")
def test_all_ways_of_few_shots_are_measured_beside_the_teacher(folders, capsys) -> None:
    words = ["evaluate", "builtin:pico", "--data", folders, "--tasks", "few_shots"]
    words += ["--set", "data.shots=[1, 3]", *DRAWS, "--against", "builtin:pico"]
    assert main([*words, "--json"]) == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert tuple(tasks) == ADAPTATIONS
    for task in tasks.values():
        assert task["metric"] == "top1_3_shots"
        assert task["also"].keys() >= {"top1_1_shots", "zero_shot", "draws"}
        # teacher and student are one model here, and nothing is left to chance
        assert task["difference"]["value"] == 0
        assert task["fidelity"]["top1_agreement"] == 1


def test_fewer_pictures_than_shots_are_exit_2_and_one_line(folders, capsys) -> None:
    words = ["evaluate", "builtin:pico", "--data", folders, "--tasks", "coop"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "coop is to see 16 pictures of each class" in err
    assert "Traceback" not in err


def test_a_dry_run_refuses_them_too(folders, tmp_path, capsys) -> None:
    words = ["compress", "smoke", "--teacher", "builtin:pico", "--data", folders]
    words += ["--set", "tasks=[adapter]", "--dry-run", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "adapter is to see 16 pictures" in capsys.readouterr().err
