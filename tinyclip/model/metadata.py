"""A model card's metadata: what the Hugging Face Hub reads of a model.

The form is that of huggingface_hub's `ModelCardData`; the Hub itself looks at
`license`, `datasets` and `model-index` when a card is pushed
(https://github.com/huggingface/hub-docs/blob/main/modelcard.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from .figures import is_few_shot
from .licences import metadata_of, stated_by

PIPELINE = "zero-shot-image-classification"
TAGS = ("clip", "tinyclip")
LEARNT = ("linear_probe", "knn")  # tasks that learn from labelled pictures
# what a task is called there, by the beginning of its metric's name
TYPES = {
    "top": PIPELINE,
    "mean_average_precision": PIPELINE,
    "image_to_text": "image-text-retrieval",
    "text_to_image": "image-text-retrieval",
    "right": "image-text-matching",
}
METRICS = {"top1": "accuracy", "right": "accuracy"}  # that the Hub knows by a name
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def metadata(
    config: Mapping[str, Any], metrics: Mapping[str, Any] | None, library: str
) -> dict[str, Any]:
    """What stands at the head of a card, from what the other files say.

    Args:
        library: that loads the folder.
    """
    provenance = config["provenance"]
    values: dict[str, Any] = {
        **metadata_of(stated_by(provenance)),
        "library_name": library,
        "pipeline_tag": PIPELINE,
        "tags": list(TAGS),
    }
    if teacher := on_hub(provenance, "teacher"):
        values["base_model"] = teacher
    if data := on_hub(provenance, "data"):
        values["datasets"] = [data]
    results = _results(provenance, (metrics or {}).get("tasks") or {})
    if results:
        values["model-index"] = [{"name": _name(provenance), "results": results}]
    return values


def on_hub(provenance: Mapping[str, Any], kind: str) -> str | None:
    """The repository that the teacher or the data came from; None where they did not
    come from the Hub.

    Args:
        kind: `teacher` or `data`.
    """
    told = provenance.get("hub")
    name = told.get(kind) if isinstance(told, Mapping) else None
    return name if isinstance(name, str) and HUB_ID.fullmatch(name) else None


def _name(provenance: Mapping[str, Any]) -> str:
    recipe, stage = provenance.get("recipe"), provenance.get("stage")
    if not isinstance(recipe, str) or not recipe:
        return "tinyclip"
    return f"{recipe}, stage {stage}" if isinstance(stage, int) else recipe


def _results(
    provenance: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Every task with its figures, as shares of 1.

    Tasks of one data set are told apart by its configuration: readers that know the
    type of task and the data set alone would lay their figures together.
    """
    called = _last(provenance.get("data") or provenance.get("source"))
    dataset = {"type": on_hub(provenance, "data") or _slug(called), "name": called}
    return [
        {
            "task": {"type": _type(name, task), "name": name or "unnamed"},
            "dataset": {**dataset, "config": name},
            "metrics": figures,
        }
        for name, task in tasks.items()
        if (figures := _figures(task))
    ]


def _type(name: str, task: Mapping[str, Any]) -> str:
    if name in LEARNT or is_few_shot(task):
        return "image-classification"
    metric = task["metric"]
    found = (kind for start, kind in TYPES.items() if metric.startswith(start))
    return next(found, PIPELINE)


def _figures(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The task's own figure, and the further ones that have an interval: what has none
    is a count."""
    also, sure = task.get("also") or {}, task.get("intervals") or {}
    values = {task["metric"]: task["value"]}
    values |= {name: also[name] for name in sure if name in also}
    return [
        {"type": METRICS.get(name, _slug(name)), "value": value, "name": name}
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def _last(source: Any) -> str:
    """The last word of a source: the name of a file or a folder, but not where it
    lies."""
    text = source if isinstance(source, str) else ""
    return text.partition(":")[2].rstrip("/").rpartition("/")[2] or text or "unnamed"


def _slug(text: str) -> str:
    """A name without what an identifier must not have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "unnamed"
