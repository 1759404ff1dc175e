"""What comes from elsewhere is text in a model card, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tinyclip.model.card import model_card
from tinyclip.model.limits import limits, parts_of

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
    assert re.match(r"\d*(\\|&gt;)", last), last  # an entity begins nothing either


def test_what_was_lost_stands_before_how_to_load_it(config: dict[str, Any]) -> None:
    alarm = {"task": WILD, "metric": "top1", "value": 0.13, "teacher": 0.932}
    alarm |= {"retention": 0.14, "chance": 0.1, "median": None, "reasons": ["bound"]}
    card = model_card(config, None, {"tasks": {}, "alarms": [alarm]})
    before = card.partition("```python")[0]
    assert "**Where it fails.**" in before
    assert "13.0 % where the teacher has 93.2 % (top1; by chance 10.0 %)" in before
    assert "\n# Injected" not in card
    assert "fails" not in model_card(config, None, {"tasks": {}, "alarms": []})


PROBE = {"metric": "right", "n": 500, "chance": 0.5, "teacher": None}


def probed(value: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {**PROBE, "value": value, "ci95": [low, high], **more}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            probed(0.51, 0.48, 0.54, teacher=0.52),
            "51.0 % right (48.0 to 54.0); not surely above chance, 50.0 %; the "
            "teacher has 52.0 %.",
        ),
        (
            probed(0.3, 0.2, 0.4),
            "30.0 % right (20.0 to 40.0); less than by chance, 50.0 %.",
        ),
        (
            probed(0.6, 0.55, 0.65, teacher=0.9, difference={"ci95": [-0.35, -0.25]}),
            "60.0 % right (55.0 to 65.0); surely worse than the teacher's 90.0 %, by "
            "25.0 points or more.",
        ),
        (
            probed(
                0.2,
                0.17,
                0.24,
                metric="both_found",
                chance=0.07,
                also={"larger_found": 0.6, "larger_preferred": 0.83},
                intervals={"larger_found": [0.5, 0.7], "larger_preferred": [0.8, 0.9]},
            ),
            "20.0 % right (17.0 to 24.0); larger_preferred 83.0 % of the time, where "
            "50.0 % is without bias.",
        ),
        (
            probed(
                0.6,
                0.55,
                0.65,
                also={"right_a": 0.5, "right_b": 0.4, "chance_b": 0.2},
                intervals={"right_a": [0.4, 0.6], "right_b": [0.3, 0.5]},
            ),
            "60.0 % right (55.0 to 65.0); not surely above chance in a "
            "(50.0 %, by chance 50.0 %).",
        ),
    ],
)
def test_what_a_probe_found_against_the_model_is_a_sentence(
    config: dict[str, Any], task: dict[str, Any], said: str
) -> None:
    card = model_card(config, None, {"tasks": {"order": task}})
    assert f"- order: {said}\n" in card.partition("```python")[0]


def test_a_probe_that_is_passed_is_no_limit(config: dict[str, Any]) -> None:
    change = {"ci95": [-0.2, 0.1]}
    task = probed(0.8, 0.7, 0.9, teacher=0.85, difference=change)
    card = model_card(config, None, {"tasks": {"order": task, "other": PROBE | task}})
    assert "cannot tell" not in card
    assert "| order | 80.0 | 70.0 to 90.0 | 500 | 50.0 | 85.0 |" in card


def test_a_probe_is_no_task_and_its_parts_stand_under_it(
    config: dict[str, Any],
) -> None:
    parts = {
        "also": {"right_a": 0.5, "items_a": 9},
        "intervals": {"right_a": [0.4, 0.6]},
    }
    card = model_card(
        config, None, {"tasks": {"order": probed(0.8, 0.7, 0.9, **parts)}}
    )
    assert "## Measured" not in card
    whole, part = card.splitlines()[-6:-4]
    assert whole.startswith("| order |") and part == (
        "| order, a | 50.0 | 40.0 to 60.0 | 9 | 50.0 | – |"
    )


def test_what_was_left_out_is_counted_the_most_frequent_first(
    config: dict[str, Any],
) -> None:
    kinds = {"no caption": 3, "truncated": 1009, WILD: 1}
    config["provenance"] = {"skipped": {"of": 4000, "kinds": kinds}}
    card = model_card(config, None, None)
    assert (
        "1,013 of 4,000 pairs could not be used and were left out: 1,009 truncated, "
        "3 no caption, 1 x "
    ) in card
    assert "\n# Injected" not in card
    config["provenance"]["skipped"] = {"kinds": {"empty": 2}}
    assert "2 samples could not be used" in model_card(config, None, None)


@pytest.mark.parametrize(
    "skipped", [5, [], {"kinds": {}}, {"kinds": {"x": -1}}, {"kinds": {"x": "y"}}, "x"]
)
def test_counts_of_another_form_are_passed_over(
    config: dict[str, Any], skipped: Any
) -> None:
    config["provenance"] = {"skipped": skipped}
    assert "left out" not in model_card(config, None, None)


words = st.one_of(
    st.text(),
    st.sampled_from([WILD, "---", "a|b", "```", "# x", "- x", "\u202e", "&lt;"]),
)


def blocks(card: str) -> list[tuple[str, str]]:
    """What a reader of Markdown makes of a card: its blocks in order, no HTML among
    them, and of each line of text what it holds beside words."""
    found: list[tuple[str, str]] = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(card):
        inside = [child.type for child in token.children or ()]
        found.append((token.type, " ".join(kind for kind in inside if kind != "text")))
    return found


def test_a_preference_that_is_not_sure_is_no_limit_and_no_guess() -> None:
    also, sure = {"larger_preferred": 0.45}, {"larger_preferred": [0.4, 0.52]}
    task = probed(0.2, 0.17, 0.24, metric="both_found", chance=0.07)
    task |= {"also": also, "intervals": sure}
    (part,) = parts_of(task)
    assert (part.is_biased, part.is_guessed, part.chance) == (False, False, 0.5)
    assert not list(limits({"scenes": task}))


@settings(max_examples=60, deadline=None)
@given(words, words, words)
def test_no_name_changes_the_blocks_of_the_body(one: str, two: str, three: str) -> None:
    def of(a: str, b: str, c: str) -> str:
        tower = {"width": 8, "embed": 8, "blocks": [], "head_width": 4}
        probe = probed(0.5, 0.4, 0.6, also={f"right_{a}": 0.5, "n": 1})
        probe["intervals"] = {f"right_{a}": [0.4, 0.6]}
        task = {"metric": c, "value": 1.0, "ci95": (0, 1), "n": 3}
        config = {
            "provenance": {
                "teacher": a or "x",
                "recipe": b,
                "data": c,
                "licences": {"teacher": b, "data": c},
                "skipped": {"kinds": {f"{a}.": 1}},
            },
            "sizes": {"total": 10, "encoder": 8},
            "share": {"total": 0.5, "encoder": 0.5},
            "shape": {"image": tower, "text": tower},
        }
        tasks = {f"p{a}": probe, f"t{b}": task}
        return ModelCard(model_card(config, None, {"tasks": tasks})).text

    assert blocks(of(one, two, three)) == blocks(of("x", "y", "z"))
