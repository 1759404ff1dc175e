"""What lies beside a model is shown where it is of its kind, and refused elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinyclip.errors import UserError
from tinyclip.formats.beside import read_certificate, read_metrics, read_parity

TASK = {"metric": "top1", "value": 0.5, "ci95": [0.4, 0.6], "n": 100}
ALARM = {"task": "clipart", "metric": "top1", "value": 0.1, "teacher": 0.5}
ALARM |= {"retention": 0.2, "chance": 0.1, "median": None, "reasons": ["bound"]}
TOWER = {"mean": 1.0, "lowest": 0.9}
LOSS = {"exact": False, "image": TOWER, "text": TOWER, "top1_agreement": 1, "n": 4}
LOSS |= {"inputs": "random"}
WHOLE: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "certificate.json": (
        read_certificate,
        {"max_abs_diff": 1e-7, "n": 64, "solved": {"max_abs_diff": 0.1}},
    ),
    "metrics.json": (
        read_metrics,
        {"tasks": {"clipart": TASK}, "alarms": [ALARM], "latency": {}},
    ),
    "parity.json": (
        read_parity,
        {"max_abs_diff": 0, "n": 4, "conversion": LOSS, "cosine": None},
    ),
}


def put(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value))


@pytest.mark.parametrize("name", WHOLE)
def test_what_we_write_is_read(tmp_path: Path, name: str) -> None:
    read, value = WHOLE[name]
    assert read(tmp_path) is None
    put(tmp_path, name, value)
    assert read(tmp_path) == value


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [[], None, 5, {"max_abs_diff": "x", "tasks": 5}])
def test_another_kind_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    put(tmp_path, name, value)
    with pytest.raises(UserError, match=f"{name}.*Mend or remove it"):
        WHOLE[name][0](tmp_path)


@pytest.mark.parametrize("name", WHOLE)
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="no regular file"):
        WHOLE[name][0](tmp_path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"ci95": [0.5]}, "ci95 is no interval"),
        ({"value": None}, "value: wants a number"),
        ({"n": -1}, "n: wants a number of things"),
    ],
)
def test_a_task_is_a_whole_one(
    tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    put(tmp_path, "metrics.json", {"tasks": {"clipart": {**TASK, **change}}})
    with pytest.raises(UserError, match=what):
        read_metrics(tmp_path)


def test_an_alarm_is_a_whole_one(tmp_path: Path) -> None:
    put(tmp_path, "metrics.json", {"alarms": [{**ALARM, "value": "<b>"}]})
    with pytest.raises(UserError, match=r"alarms\[0\].value: wants a number"):
        read_metrics(tmp_path)


def test_a_conversion_that_is_not_exact_says_by_how_much(tmp_path: Path) -> None:
    parity = {"max_abs_diff": 0, "n": 4, "conversion": {"exact": False}}
    put(tmp_path, "parity.json", parity)
    with pytest.raises(UserError, match="image is missing"):
        read_parity(tmp_path)
