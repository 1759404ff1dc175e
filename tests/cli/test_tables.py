"""The table of a finished run: what its columns are called and hold."""

from __future__ import annotations

from typing import Any

import pytest

from tinyclip.cli.tables import show_summary

SIZES = {"encoder": 100, "total": 200}


def report(budget: str, share: dict[str, float], task: str = "clipart") -> dict:
    metrics = {"tasks": {task: {"metric": "image_to_text_r1", "value": 0.5}}}
    student: dict[str, Any] = {"stage": 1, "model": "m", "bytes": 400, "sizes": SIZES}
    return {
        "run": "r",
        "model": "m",
        "towers": ["image", "text"],
        "budget": budget,
        "teacher": {"source": "t", "sizes": SIZES, "bytes": 800, "metrics": metrics},
        "students": [{**student, "share": share, "metrics": metrics}],
    }


@pytest.mark.parametrize("budget", ["macs", "bytes"])
def test_the_share_of_the_budget_that_was_asked_for_is_shown(
    budget: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_summary(report(budget, {"encoder": 0.4, "total": 0.6, budget: 0.3}))
    shown = capsys.readouterr().out
    assert "share of" in shown and "30.0 %" in shown and "800B" in shown


def test_a_run_of_before_such_shares_were_stored_has_a_dash(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_summary(report("macs", {"encoder": 0.4, "total": 0.6}))
    assert "30.0 %" not in capsys.readouterr().out


def test_a_task_called_after_its_kind_is_named_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    share = {"encoder": 0.4, "total": 0.6}
    show_summary(report("encoder", share, "retrieval"))
    assert capsys.readouterr().out.count("retrieval") == 1
    show_summary(report("encoder", share, "clipart"))
    shown = capsys.readouterr().out
    assert "retrieval" in shown and "clipart" in shown


def test_neither_shots_nor_a_probe_stand_for_the_quality(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = report("encoder", {"encoder": 0.4, "total": 0.6}, "birds")
    for one in (told["teacher"], told["students"][0]):
        shots = {"adapter": {"metric": "top1_16_shots", "value": 0.9}}
        probe = {"order": {"metric": "right", "value": 0.8}}
        one["metrics"] = {"tasks": shots | probe | one["metrics"]["tasks"]}
    show_summary(told)
    shown = capsys.readouterr().out
    assert "birds" in shown and "90.0" not in shown and "80.0" not in shown


def test_what_a_student_saw_beside_pairs_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = report("encoder", {"encoder": 0.4, "total": 0.6})
    told["students"][0]["samples"] = {"pairs": 1200}
    show_summary(told)
    assert "stage 1: m\n" in capsys.readouterr().out
    told["students"][0]["samples"] |= {"images": 2400, "texts": 600}
    show_summary(told)
    shown = capsys.readouterr().out
    assert "stage 1: m (1,200 pairs, 2,400 images, 600 texts)\n" in shown
