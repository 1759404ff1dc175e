"""Where a student comes from, as its configuration and its card say it."""

from __future__ import annotations

from typing import Any

from ..data.broken import HARMLESS, Why
from ..data.licences import hub_name, licence_of
from ..data.views import source_of
from ..model.licences import stated_by
from ..model.metadata import on_hub
from .context import RunContext
from .skipped import Skipped
from .stage_context import StageContext
from .unpaired import provenance as seen_beside


def provenance(stage: StageContext, samples: int) -> dict[str, Any]:
    """What `config.json` says of where a stage's student comes from.

    Args:
        samples: pairs that it has seen.
    """
    run, goal = stage.run, stage.goal
    return {
        "teacher": run.recipe.teacher,
        "recipe": run.recipe.name,
        "fingerprint": stage.fingerprint,
        "stage": stage.folder.number,
        "budget": goal.budget,
        "target": goal.target,
        "towers": list(goal.towers),
        "data": run.recipe.data.source,
        "samples": samples,
        **seen_beside(run.recipe, stage.folder.number - 1),
        **_known("licences", _licences(run)),
        **_known("hub", _hub(run)),
        **_skipped(run),
    }


def _known(name: str, told: dict[str, str | None]) -> dict[str, Any]:
    """What is told under a name; nothing where nothing of it is known."""
    return {name: told} if any(told.values()) else {}


def _licences(run: RunContext) -> dict[str, str | None]:
    return {
        "teacher": stated_by(run.teacher.config.get("provenance", {})),
        "data": licence_of(run.recipe.data, run.train),
    }


def _hub(run: RunContext) -> dict[str, str | None]:
    """The repositories that teacher and data came from: never a path, and never that of
    another student's teacher."""
    own = run.teacher.config.get("provenance", {})
    teacher = None if "teacher" in own else on_hub(own, "teacher")
    found = {"teacher": teacher, "data": hub_name(run.recipe.data)}
    return {kind: name for kind, name in found.items() if name}


def left_out(run: RunContext) -> tuple[dict[str, int], dict[str, Why]]:
    """All that a run did without up to now: how many samples by kind, and those that
    have names."""
    dropped = run.unpaired.dropped(run.train.dropped)
    return Skipped(run.folder.path).settle(dropped, run.broken())


def _skipped(run: RunContext) -> dict[str, Any]:
    """What the run did without up to now, by kind; of how many pairs, where it reads
    nothing but pairs."""
    kinds, _ = left_out(run)
    if not kinds:
        return {}
    pairs = source_of(run.train)
    faults = (n for kind, n in pairs.dropped.items() if kind not in HARMLESS)
    of = None if run.recipe.data.has_unpaired else len(pairs) + sum(faults)
    return {"skipped": {"of": of, "kinds": kinds}}
