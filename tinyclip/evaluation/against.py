"""A model beside its teacher on the same items of a task."""

from __future__ import annotations

from typing import Any

from .bootstrap import intervals, paired
from .fidelity import fidelity, modality_gap
from .index import compatibility
from .measures import Outcome


def knows(found: Outcome) -> bool:
    """Whether there is something of which another model can keep a share: a figure
    above 0, or, where it counts from chance, one whose interval lies above that."""
    if not found.floor:
        return bool(found.value)
    return intervals([found.sample])[0][0] > found.floor


def retention(ours: Outcome, theirs: Outcome) -> float | None:
    """(ours − floor) / (theirs − floor); None where theirs `knows` nothing."""
    if not knows(theirs):
        return None
    return (ours.value - ours.floor) / (theirs.value - theirs.floor)


def difference(ours: Outcome, theirs: Outcome) -> dict[str, Any]:
    """`value` (ours less theirs), its paired `ci95`, and `retention_ci95`, of
    `retention`: both figures from the same draws of the same items."""
    change, share = paired(ours.sample, theirs.sample, theirs.floor)
    return {
        "value": ours.value - theirs.value,
        "ci95": None if change is None else list(change),
        "retention_ci95": list(share) if share and knows(theirs) else None,
    }


def result(found: Outcome, teacher: Outcome | None) -> dict[str, Any]:
    """An outcome as a report has it, beside the teacher's where there is one."""
    told = found.told()
    also, sure = told.pop("also"), told.pop("intervals")
    answers = found.answers
    if teacher is None:
        own: dict[str, Any] = {"teacher": None, "retention": None}
        more: dict[str, Any] = dict.fromkeys(
            ("teacher_also", "difference", "fidelity", "index")
        )
    else:
        own = {"teacher": teacher.value, "retention": retention(found, teacher)}
        more = {
            "teacher_also": teacher.others,
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
