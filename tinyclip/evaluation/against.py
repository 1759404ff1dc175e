"""A model beside its teacher on the same items of a task."""

from __future__ import annotations

from typing import Any

from .bootstrap import paired
from .fidelity import fidelity, modality_gap
from .index import compatibility
from .measures import Outcome


def difference(ours: Outcome, theirs: Outcome) -> dict[str, Any]:
    """`value` (ours less theirs), its paired `ci95`, and `retention_ci95`, of ours by
    theirs: both figures from the same draws of the same items."""
    change, share = paired(ours.sample, theirs.sample)
    return {
        "value": ours.value - theirs.value,
        "ci95": None if change is None else list(change),
        "retention_ci95": list(share) if share and theirs.value else None,
    }


def result(found: Outcome, teacher: Outcome | None) -> dict[str, Any]:
    """An outcome as a report has it, beside the teacher's where there is one."""
    told = found.told()
    also, sure = told.pop("also"), told.pop("intervals")
    answers = found.answers
    if teacher is None:
        own: dict[str, Any] = {"teacher": None, "retention": None}
        more: dict[str, Any] = dict.fromkeys(("difference", "fidelity", "index"))
    else:
        value = teacher.value
        own = {
            "teacher": value,
            "retention": found.value / value if value else None,
        }
        more = {
            "difference": difference(found, teacher),
            "fidelity": fidelity(answers, teacher.answers),
            "index": compatibility(answers, teacher.answers),
        }
    gap = modality_gap(answers, None if teacher is None else teacher.answers)
    return {
        **told,
        **own,
        "also": also,
        "intervals": sure,
        **more,
        "modality_gap": gap,
    }
