"""Probes and figures after few shots have tables of their own and are no headline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyclip.report.charts.quality import quality
from tinyclip.report.collect import Told, collect, tasks_in
from tinyclip.report.page import Part, page
from tinyclip.report.probes import probes_table, shots_table
from tinyclip.report.words import commands, fidelity_table, headline, tasks_table

ORDER: dict[str, Any] = {"metric": "right", "n": 1200, "chance": 0.5, "floor": 0.5}
NAMING: dict[str, Any] = {"metric": "top1", "n": 9, "value": 0.4, "ci95": [0.3, 0.5]}
PARTS = {
    "also": {
        "right_all_nouns": 0.6,
        "right_<b>": 0.3,
        "items_all_nouns": 800,
        "chance_<b>": 0.25,
    },
    "intervals": {"right_all_nouns": [0.55, 0.65], "right_<b>": [0.2, 0.4]},
}
SHOTS: dict[str, Any] = {
    "metric": "top1_16_shots",
    "n": 9,
    "value": 0.7,
    "ci95": [0.6, 0.8],
    "also": {"top1_1_shots": 0.5, "zero_shot": 0.45, "classes": 4},
    "intervals": {"top1_1_shots": [0.4, 0.6], "zero_shot": [0.4, 0.5]},
}


def asked(value: float, **more: Any) -> dict[str, Any]:
    return {**ORDER, "value": value, "ci95": [value - 0.04, value + 0.04], **more}


@pytest.fixture
def told(finished: Path) -> Told:
    """The run, as if a probe were the first of its tasks."""
    run = collect(finished)
    first, *_ = run.students
    teacher = {"order": asked(0.8), "birds": NAMING, "coop": SHOTS}
    change = {"ci95": [-0.35, -0.2], "retention_ci95": None}
    own = {"order": asked(0.52, difference=change, **PARTS), "birds": NAMING}
    return replace(
        run,
        teacher=replace(run.teacher, tasks=teacher),
        students=(replace(first, tasks=own),),
    )


def plain(rows: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    """The cells with spaces at which lines may break."""
    return [[cell.replace("\xa0", " ") for cell in row] for row in rows]


def test_a_probe_stands_beside_its_teacher_and_chance(told: Told) -> None:
    table = probes_table(told)
    assert table is not None
    assert table.head == ("probe", "n", "by chance", "teacher", "stage 1")
    assert plain(table.rows)[0] == [
        *("order", "1,200", "50.0", "80.0 [76.0, 84.0]"),
        "52.0 [48.0, 56.0], by chance, lost",
    ]


def test_the_parts_of_a_probe_stand_under_it_with_their_own_chance(told: Told) -> None:
    table = probes_table(told)
    assert table is not None
    assert plain(table.rows)[1:] == [
        ["all nouns", "800", "50.0", "–", "60.0 [55.0, 65.0]"],
        ["<b>", "–", "25.0", "–", "30.0 [20.0, 40.0], by chance"],
    ]
    assert table.parts == {1, 2}


def test_a_line_breaks_between_a_figure_and_what_is_said_of_it(told: Told) -> None:
    table = probes_table(told)
    assert table is not None
    assert table.rows[0][-1].split(" ") == [
        "52.0\xa0[48.0,\xa056.0],",
        "by\xa0chance,",
        "lost",
    ]


def test_figures_after_few_shots_stand_by_their_number(told: Told) -> None:
    table = shots_table(told)
    assert table is not None
    assert table.head == ("way", "model", "none", "1 shot", "16 shots")
    figures = "45.0 [40.0, 50.0]", "50.0 [40.0, 60.0]", "70.0 [60.0, 80.0]"
    assert table.rows == (("coop", "teacher", *figures),)


def test_a_run_that_was_asked_nothing_has_no_such_tables(finished: Path) -> None:
    run = collect(finished)
    assert probes_table(run) is None and shots_table(run) is None


def test_neither_is_the_headline_nor_among_tasks_and_charts(told: Told) -> None:
    assert told.main_task() == "birds"
    assert "top-1 on birds" in headline(told)
    assert tasks_in([told]) == ["birds"]
    table, alike, chart = tasks_table(told), fidelity_table(told), quality([told])
    assert table is not None and [row[0] for row in table.rows] == ["birds"]
    assert alike is not None and not alike.rows
    assert chart is not None and "order" not in chart.svg()


def test_where_probes_are_all_that_was_measured_no_quality_is_told(told: Told) -> None:
    teacher = replace(told.teacher, tasks={"order": asked(0.8)})
    only = replace(told, teacher=teacher, students=(replace(teacher, name="x"),))
    assert only.main_task() is None and quality([only]) is None
    assert "quality was not measured" in headline(only)


def test_the_page_has_both_and_no_name_is_markup(told: Told) -> None:
    text = page([Part(told, (), None)], [])
    assert "<caption>Probes</caption>" in text
    assert "<caption>After a few labelled pictures</caption>" in text
    assert "&lt;b&gt;" in text and "<b></th>" not in text


def test_a_run_on_captions_can_be_asked_again_what_it_is_weak_in(told: Told) -> None:
    data = replace(told.recipe.data, source="csv:it's.csv", caption_column="a b")
    asked_of = replace(told, recipe=replace(told.recipe, data=data))
    line = dict(commands(asked_of))["Measure how good it is and what it is weak in"]
    assert line.endswith("--tasks usual,probes")
    assert "--set 'data.caption_column=a b'" in line
    assert "--data 'csv:it'\"'\"'s.csv'" in line
    (student,) = told.students
    named = replace(told, students=(replace(student, tasks={"birds": NAMING}),))
    assert "--tasks" not in dict(commands(named))["Measure how good it is"]
