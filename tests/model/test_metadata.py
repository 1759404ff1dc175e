"""The head of a card is what huggingface_hub takes for a model's metadata."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.model.card import model_card
from tinyclip.model.licences import metadata_of, of_metadata, stated_by

TOWER = {"width": 8, "embed": 8, "blocks": [], "head_width": 4}
TASK = {"metric": "top1", "value": 0.5, "ci95": [0.4, 0.6], "n": 9, "chance": 0.1}
PROBE = {**TASK, "metric": "right"}
FOUND = {"metric": "image_to_text_r1", "value": 0.25, "ci95": [0.1, 0.4], "n": 9}
MORE = {"also": {"top5": 0.75, "classes": 10}, "intervals": {"top5": [0.7, 0.8]}}
WILD = "a\n---\n<script>: | `x` 'q' \"é\" \U0001f600 \u202e"


def written(
    tasks: dict[str, Any] | None = None, library: str = "tinyclip", **provenance: Any
) -> str:
    config = {
        "provenance": {"teacher": "builtin:pico", **provenance},
        "sizes": {"total": 10, "encoder": 8},
        "share": {"total": 0.5, "encoder": 0.5},
        "shape": {"image": TOWER, "text": TOWER},
    }
    metrics = None if tasks is None else {"tasks": tasks}
    return model_card(config, None, metrics, library=library)


def carded(*args: Any, **settings: Any) -> ModelCard:
    """A card as the Hub's library reads it."""
    return ModelCard(written(*args, **settings))


def test_the_hub_is_told_what_loads_it_and_what_it_is_for() -> None:
    told = carded(library="transformers").data.to_dict()
    assert told == {
        "library_name": "transformers",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip", "tinyclip"],
    }


def test_figures_are_results_and_counts_are_not() -> None:
    card = carded({"classes": {**TASK, **MORE}}, data="folder:/home/me/birds")
    (first, second) = card.data.eval_results
    assert (first.metric_type, first.metric_name, first.metric_value) == (
        "accuracy",
        "top1",
        0.5,
    )
    assert (second.metric_type, second.metric_value) == ("top5", 0.75)
    assert first.task_type == "zero-shot-image-classification"
    assert (first.dataset_type, first.dataset_name) == ("birds", "birds")
    assert "/home/me" not in str(card.data.eval_results)


def test_tasks_of_one_data_set_stay_apart() -> None:
    card = carded({"a": TASK, "b": {**TASK, "value": 0.25}}, data="builtin:pictograms")
    again = ModelCard(str(card)).data
    assert [(r.task_name, r.metric_value) for r in again.eval_results] == [
        ("a", 0.5),
        ("b", 0.25),
    ]


@pytest.mark.parametrize(
    ("name", "task", "kind"),
    [
        ("retrieval", FOUND, "image-text-retrieval"),
        ("word_order", PROBE, "image-text-matching"),
        ("knn", TASK, "image-classification"),
        ("coop", {**TASK, "metric": "top1_16_shots"}, "image-classification"),
    ],
)
def test_a_result_says_what_kind_of_task_it_is(
    name: str, task: dict[str, Any], kind: str
) -> None:
    (result,) = carded({name: task}).data.eval_results
    assert result.task_type == kind


def test_what_is_no_number_is_no_result() -> None:
    assert carded({"a": {**TASK, "value": float("nan")}}).data.eval_results is None


@settings(deadline=None)
@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_names_come_back_from_the_metadata_as_they_were(
    task: str, recipe: str, data: str
) -> None:
    about = {"recipe": recipe, "stage": 2, "data": f"csv:{data}"}
    text = written({task: TASK, WILD: PROBE}, **about)
    card, block = ModelCard(text), REGEX_YAML_BLOCK.search(text)
    assert {r.task_name for r in card.data.eval_results} == {task, WILD}
    assert card.data.model_name == f"{recipe}, stage 2"
    assert block is not None and card.text.startswith("\n# A small CLIP")
    # what the library makes of the metadata is what we wrote
    assert yaml.safe_load(block[2]) == card.data.to_dict()


def test_a_teacher_and_data_of_the_hub_are_named() -> None:
    hub = {"teacher": "openai/clip-vit-base-patch32", "data": "org/pairs"}
    data = carded({"a": TASK}, hub=hub).data
    assert data.base_model == hub["teacher"] and data.datasets == [hub["data"]]
    assert data.eval_results[0].dataset_type == hub["data"]


@pytest.mark.parametrize("name", ["/home/me/x", "../x", "a/b/c", "", 5, None, ["a"]])
def test_a_path_is_no_name_on_the_hub(name: Any) -> None:
    told = carded(hub={"teacher": name, "data": name}).data.to_dict()
    assert not {"base_model", "datasets"} & set(told)


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("MIT, CC-BY-4.0", {"license": ["mit", "cc-by-4.0"]}),
        ("Our own (v2)", {"license": "other", "license_name": "our-own-v2"}),
        ("\u200f\n", {"license": "other", "license_name": "unnamed"}),
        ("", {}),
        (None, {}),
    ],
)
def test_a_licence_is_one_of_the_hub_or_other(licence: Any, told: Any) -> None:
    assert metadata_of(licence) == told


@pytest.mark.parametrize(
    ("values", "licence"),
    [
        ({"license": "mit"}, "mit"),
        ({"license": ["mit", "gpl-3.0"]}, "mit, gpl-3.0"),
        ({"license": "other", "license_name": "ours"}, "ours"),
        ({"license": "other"}, None),
        ({"license": "unknown"}, None),
        ({"license": 5}, None),
        ({"license": []}, None),
        ({"license": "x" * 201}, None),
        ({}, None),
    ],
)
def test_what_a_card_says_of_its_licence_is_read(values: Any, licence: Any) -> None:
    assert of_metadata(values) == licence


def test_a_student_has_its_teachers_licence_and_says_whose_it_is() -> None:
    told = {"teacher": "mit", "data": None}
    card = carded(licences=told, data="csv:x.csv")
    assert card.data.license == "mit"
    assert "- The teacher `builtin:pico`: mit, as its source says." in card.text
    assert "- The data `csv:x.csv`: not stated." in card.text


def test_of_a_licence_that_nobody_states_nothing_is_said() -> None:
    card = carded(licences={"teacher": None, "data": "CC-BY-4.0"}, data="csv:x.csv")
    assert card.data.license is None
    assert stated_by({"licences": "mit"}) is None
