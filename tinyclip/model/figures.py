"""What a task in `metrics.json` is, by the name of its own figure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PROBE = "right"  # of items, how many a probe's true text was nearest to
BOTH = "both_found"  # of scenes of two things, in how many both were found
PREFERRED = "_preferred"  # what a figure ends with that is a bias and no quality
OF_SHOTS = re.compile(r"top1_(\d+)_shots?")  # after so many labelled pictures a class


def is_probe(task: Mapping[str, Any]) -> bool:
    """Whether a task asks for what models are weak in."""
    return task["metric"] in (PROBE, BOTH)


def is_few_shot(task: Mapping[str, Any]) -> bool:
    """Whether figures of a task are those after a few labelled pictures were seen."""
    return OF_SHOTS.fullmatch(str(task["metric"])) is not None


def is_usual(task: Mapping[str, Any]) -> bool:
    """Whether a task says what a model is for, by itself."""
    return not is_probe(task) and not is_few_shot(task)
