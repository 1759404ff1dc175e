"""What comes from elsewhere is text in a model card, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tinyclip.model.card import model_card

WILD = "x\n\n# Injected\n\n<img src=x onerror=alert(1)> | [a](b) `c`"


@pytest.fixture
def config() -> dict[str, Any]:
    tower = {"width": 8, "embed": 8, "blocks": [], "head_width": 4}
    return {
        "provenance": {"teacher": WILD, "recipe": WILD, "licence": WILD, WILD: [WILD]},
        "sizes": {"total": 10, "encoder": 8},
        "share": {"total": 0.5, "encoder": 0.5},
        "shape": {"image": tower, "text": tower},
    }


def test_a_name_adds_no_heading_and_no_html(config: dict[str, Any]) -> None:
    metrics = {"tasks": {WILD: {"metric": WILD, "value": 1.0, "ci95": (0, 1), "n": 3}}}
    card = model_card(config, None, metrics)
    lines = card.splitlines()
    assert not [line for line in lines if line.startswith(("# Injected", "<"))]
    assert [line for line in lines if line.startswith("#")][1:] == [
        "## Widths",
        "## Where it comes from",
        "## Measured",
        "## Licence",
    ]
    outside = [line for line in lines if not line.startswith("# ")]
    assert "<" not in re.sub("`` .*? ``|```.*?```", "", "\n".join(outside), flags=re.S)


def test_a_name_adds_no_cell_to_a_table(config: dict[str, Any]) -> None:
    metrics = {"tasks": {WILD: {"metric": "top1", "value": 1, "ci95": (0, 1), "n": 3}}}
    card = model_card(config, None, metrics)
    head = next(line for line in card.splitlines() if line.startswith("| task"))
    row = next(line for line in card.splitlines() if line.startswith("| x"))
    assert row.replace("\\|", "").count("|") == head.count("|")


@pytest.mark.parametrize(
    "licence", ["# x", "---", "===", "+ x", "- x", "1. x", "12) x", "> x", "* x"]
)
def test_a_licence_begins_no_heading_list_or_rule(
    config: dict[str, Any], licence: str
) -> None:
    config["provenance"] = {"licence": licence}
    last = model_card(config, None, None).rstrip().splitlines()[-1]
    assert re.match(r"\d*\\", last), last


def test_what_was_lost_stands_before_how_to_load_it(config: dict[str, Any]) -> None:
    alarm = {"task": WILD, "metric": "top1", "value": 0.13, "teacher": 0.932}
    alarm |= {"retention": 0.14, "chance": 0.1, "median": None, "reasons": ["bound"]}
    card = model_card(config, None, {"tasks": {}, "alarms": [alarm]})
    before = card.partition("```python")[0]
    assert "**Where it fails.**" in before
    assert "13.0 % where the teacher has 93.2 % (top1; by chance 10.0 %)" in before
    assert "\n# Injected" not in card
    assert "fails" not in model_card(config, None, {"tasks": {}, "alarms": []})
