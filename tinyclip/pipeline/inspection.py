"""All there is to know of a model, or of a run and its models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..formats.lookup import describe_model
from ..formats.source import looked_at
from .run_dir import RunDir
from .summary import summary

SHOWN = ("stage", "model", "sizes", "share", "bytes")


def inspect(name: str) -> dict[str, Any]:
    """What is known of a model, an export, a source or a run.

    Of a run: what is finished, and what its last model is.

    Raises:
        UserError: it cannot be read.
    """
    run = RunDir(Path(name.removeprefix("run:")))
    with looked_at(name, "MODEL"):
        is_run = run.is_run()
    if not is_run:
        return describe_model(name)
    progress = _progress(run)
    if (run.model / "config.json").exists():
        return {**describe_model(str(run.model)), **progress}
    if not progress["stages"]:
        return progress
    return {**describe_model(progress["stages"][-1]["model"]), **progress}


def _progress(run: RunDir) -> dict[str, Any]:
    """What is finished of a run."""
    recipe = run.recipe()
    planned, budget = len(recipe.stages), recipe.budget
    if run.read("plan.json") is None:  # it was stopped before its first stage
        begun = {"finished": False, "planned": planned, "budget": budget}
        return {**begun, "stages": []}
    figures = summary(run)
    rows = [{key: row[key] for key in SHOWN} for row in figures["students"]]
    done = {"finished": figures["finished"], "planned": planned, "budget": budget}
    return {**done, "stages": rows}
