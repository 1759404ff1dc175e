"""What a report says in words and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyclip.report.collect import Told, collect
from tinyclip.report.words import (
    alarms,
    commands,
    fidelity_table,
    headline,
    models_table,
    origins_table,
    sizes_table,
    skipped_table,
    tasks_table,
)


def measured(value: float, teacher: float | None) -> dict[str, Any]:
    ci = [value - 0.02, value + 0.02]
    kept = value / teacher if teacher else None
    about = {"metric": "top1", "n": 1000, "teacher": teacher, "retention": kept}
    paired = {"retention_ci95": [0.85, 0.95]} if teacher else None
    return {"value": value, "ci95": ci, "difference": paired, **about}


@pytest.fixture
def told(finished: Path) -> Told:
    """The run, as if the teacher named 50 % and the last student 45 %."""
    run = collect(finished)
    *others, last = run.students
    last = replace(last, share=0.25, tasks={"birds": measured(0.45, 0.5)})
    teacher = replace(run.teacher, tasks={"birds": measured(0.5, None)})
    return replace(run, teacher=teacher, students=(*others, last))


def test_the_headline_has_size_quality_and_uncertainty(told: Told) -> None:
    said = headline(told)
    assert said.startswith("25.0 % of the encoder of builtin:pico (")
    assert "keeps 90.0 % [85.0 % to 95.0 %] of its teacher's top-1 on birds" in said
    assert said.endswith("45.0 % in place of 50.0 %.")


def test_a_run_that_goes_on_says_so(told: Told) -> None:
    assert headline(replace(told, finished=False)).endswith("the run is not finished.")
    assert "no finished stage yet" in headline(replace(told, students=()))


def test_without_a_teacher_or_a_measure_nothing_is_made_up(told: Told) -> None:
    *others, last = told.students
    alone = replace(last, tasks={"birds": measured(0.45, None)})
    said = headline(replace(told, students=(*others, alone)))
    assert "answers 45.0 % [43.0 % to 47.0 %] right: top-1 on birds" in said
    bare = replace(last, tasks={})
    said = headline(replace(told, students=(*others, bare)))
    assert "its quality was not measured" in said


def test_tables_have_a_row_a_model_and_a_task(told: Told) -> None:
    assert [row[0] for row in models_table(told).rows] == [m.name for m in told.models]
    table = tasks_table(told)
    assert table is not None
    birds = next(row for row in table.rows if row[0] == "birds")
    assert birds[1:4] == ("top-1", "1,000", "50.0 [48.0, 52.0]")
    assert birds[-1] == "45.0 [43.0, 47.0], 90 %"


def test_alarms_are_sentences_and_the_smallest_student_comes_first(told: Told) -> None:
    lost = {"task": "birds", "metric": "top1", "value": 0.2, "teacher": 0.5}
    lost |= {"retention": 0.4, "chance": 0.1, "median": None, "reasons": ["bound"]}
    first, *others, last = told.students
    students = (replace(first, alarms=(lost,)), *others, replace(last, alarms=(lost,)))
    said = alarms(replace(told, students=students))
    assert said[0] == (
        f"{last.name}, 25.0 % of the encoder, keeps 40.0 % of its teacher's top-1 on "
        "birds: 20.0 % in place of 50.0 %, by chance 10.0 %."
    )
    assert said[1].startswith(first.name)
    assert alarms(told) == []


def test_what_a_student_has_of_its_teacher_is_a_table(told: Told) -> None:
    *others, last = told.students
    alike = {"top1_agreement": 0.75, "kl": 0.125, "cka_images": 0.9, "cka_texts": None}
    asked = {"student_queries": {"text_to_image_r1": 0.3}}
    task = {**measured(0.45, 0.5), "fidelity": alike, "index": asked}
    task |= {"modality_gap": {"value": 0.5, "teacher": 0.6}}
    found = replace(last, tasks={"birds": task, "plain": measured(0.1, 0.2)})
    table = fidelity_table(replace(told, students=(*others, found)))
    assert table is not None
    figures = "75.0 %", "0.125", "0.9", "–", "–", "30.0 %", "–", "0.5 (0.6)"
    assert table.rows == (("birds", *figures),)


def test_runs_side_by_side_are_matched_by_size(told: Told) -> None:
    *others, last = told.students
    half = replace(last, share=0.5)
    table = sizes_table([told, replace(told, name="other", students=(half,))])
    assert table is not None
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["25 %"] == ("45.0 [43.0, 47.0], 90 %", "–")
    assert rows["50 %"][1] == "45.0 [43.0, 47.0], 90 %"
    assert sizes_table([told]) is None


def test_it_is_said_where_a_run_comes_from_and_how_it_is_used(told: Told) -> None:
    rows = dict(origins_table(told).rows)
    assert rows["teacher"] == "builtin:pico" and rows["recipe"] == "smoke"
    assert "torch " in rows["libraries"]
    lines = dict(commands(told))
    assert "tinyclip.load(" in lines["Load the smallest in Python"]
    assert commands(replace(told, students=())) == []


def test_skipped_samples_are_told_by_kind(told: Told) -> None:
    assert skipped_table(told) is None
    table = skipped_table(replace(told, skipped={"empty": 1200}))
    assert table is not None and table.rows == (("empty", "1,200"),)
