"""A repaired model, measured; written, read back and compared before it is in its
place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.task import Task
from ..errors import TinyclipError
from ..evaluation.against import difference, result
from ..evaluation.alarm import alarms
from ..evaluation.features import Encoder
from ..evaluation.mapped import Mapped
from ..evaluation.suite import encoder_of, outcomes
from ..formats.folder import moved_up, whole_folder
from ..formats.parity import BOUND
from ..formats.pytorch import opened
from ..formats.safetensors.export import COSINE
from ..model.repair import Repair
from ..model.store import Loaded, load_model, save_model

MOST = 256  # captions that are compared


def measured(
    encoder: Encoder, teacher: Encoder | None, map_EE: Tensor, tasks: Sequence[Task]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each task before and after, and what a model directory says of it after.

    Args:
        teacher: what retention compares with; None: there is none.
        map_EE: of text features.
    """
    told: dict[str, Any] = {}
    after: dict[str, Any] = {}
    mapped = Mapped(encoder, map_EE)
    beside = [] if teacher is None else [teacher]
    for task in tasks:
        plain, *theirs = outcomes([encoder, *beside], task)
        (repaired,) = outcomes([mapped], task)
        told[task.name] = {
            "metric": plain.metric,
            "before": plain.value,
            "after": repaired.value,
            "n": plain.n,
            "difference": difference(repaired, plain),
        }
        after[task.name] = result(repaired, theirs[0] if theirs else None)
    return told, {"alarms": alarms(after), "tasks": after}


def write(
    folder: Path,
    loaded: Loaded,
    repair: Repair,
    wanted: Encoder,
    captions: Sequence[str],
    certificate: Mapping[str, Any] | None,
    metrics: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Write a model directory; returns the largest difference of normalised text
    features from the `wanted` ones, and of how many captions.

    Args:
        loaded: the model as its weights are to lie there, in the type in which they
            lay where it was read.
        repair: whose map lies beside them, where it has one.

    Raises:
        UserError: the folder is in use.
        StorageError: it cannot be written.
        TinyclipError: what was written makes other features.
    """
    dtype = loaded.config.get("dtype", "float32")
    with whole_folder(folder) as draft:
        inner = draft / "whole"
        save_model(
            inner,
            *loaded,
            provenance=loaded.config.get("provenance", {}),
            teacher_sizes=loaded.config.get("teacher_sizes"),
            certificate=certificate,
            metrics=metrics,
            dtype=dtype,
            repair=repair,
        )
        moved_up(inner)
        return _compared(draft, wanted, list(dict.fromkeys(captions))[:MOST], dtype)


def _compared(
    folder: Path, wanted: Encoder, captions: Sequence[str], dtype: str
) -> dict[str, Any]:
    again = encoder_of(opened(load_model(folder)).loaded)
    read_NE, wanted_NE = again.texts(captions), wanted.texts(captions)
    gap = float((read_NE - wanted_NE).abs().max())
    lowest = float((read_NE * wanted_NE).sum(dim=-1).min())
    exact = dtype == "float32"
    if not (gap <= BOUND if exact else lowest >= COSINE[dtype]):
        raise TinyclipError(
            f"what was written is not the repaired model: its text features differ by "
            f"{gap:.2e}, and have a cosine of {lowest:.5f}. Nothing was written"
        )
    return {"max_abs_diff": gap, "n": len(captions), "dtype": dtype}
