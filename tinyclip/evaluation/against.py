"""A model beside its teacher on the same items of a task."""

from __future__ import annotations

from typing import Any

import numpy as np

from .bootstrap import Floats, paired
from .fidelity import fidelity, modality_gap
from .index import compatibility
from .measures import Outcome


def _share(ours_D: Floats, theirs_D: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return ours_D / theirs_D


def difference(ours: Outcome, theirs: Outcome) -> dict[str, Any]:
    """`value` (ours less theirs) and its paired `ci95`: both figures from the same
    draws of the same items."""
    return {
        "value": ours.value - theirs.value,
        "ci95": list(paired(ours.sample, theirs.sample, np.subtract) or ()) or None,
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
        kept = paired(found.sample, teacher.sample, _share)
        own = {
            "teacher": value,
            "retention": found.value / value if value else None,
        }
        more = {
            "difference": {
                **difference(found, teacher),
                "retention_ci95": list(kept) if kept and value else None,
            },
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
