"""`tinyclip.export`: a model in another format, checked before it is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..config.schema import Data
from ..data.tasks import RetrievalTask, tasks_of
from ..evaluation.suite import evaluate
from ..formats import registry
from ..formats.folder import check_free
from ..formats.format import Job, Measure
from ..formats.parity import RANDOM
from ..formats.source import json_of, load_source
from ..model.store import Loaded
from .plainly import told_plainly

DATA = "builtin:pictograms"
Say = Callable[[str], None]


def export(
    model: str | Path,
    to: str,
    *,
    out: str | Path | None = None,
    data: str = DATA,
    say: Say | None = None,
    **options: str,
) -> dict[str, Any]:
    """Write a model in another format, load it again, compare, and put it in place.

    Args:
        model: a model directory, a run, or another source.
        to: the format: `safetensors`, `openclip`, `huggingface` or `onnx`.
        out: the folder, which must not be there; `NAME-FORMAT` without one.
        data: source of the pairs that the two models are compared on, and that int8
            is calibrated on; `random` makes noise.
        say: told what is done next.
        options: of the format: `dtype="fp16"` or `"bf16"` (safetensors),
            `precision="fp16"` or `"int8"` (onnx), `code="own"` or `"stock"`
            (huggingface).

    Returns:
        `model`, `out`, and `parity`: the format, how far features differ, on how many
        pairs, and the loss of a `conversion` to a stock class.

    Raises:
        UserError: the model cannot be read, or not exported; an option is not of this
            format; the folder is in use.
        TinyclipError: what was written is not the same model.
    """
    kind = registry.get(to, "--to")
    options = registry.checked_options(kind, options)
    folder = default_out(str(model), to) if out is None else Path(out)
    check_free(folder)  # before anything is loaded
    kind.require()
    loaded = load_source(str(model), "MODEL")
    job = Job(
        loaded,
        folder,
        data,
        options,
        certificate=json_of(str(model), "certificate.json"),
        metrics=json_of(str(model), "metrics.json"),
        measure=measure_on(data, loaded, say) if kind.measured else None,
    )
    with told_plainly(folder, memory="Give it more"):
        parity = kind.write(job)
    return {"model": str(model), "out": str(folder), "parity": parity}


def default_out(model: str, to: str) -> Path:
    """`demo-openclip` for `runs/demo`, `runs/demo/model` or `run:runs/demo`."""
    words = [w for w in re.split(r"[/:@]+", model) if w not in ("", ".", "..", "model")]
    return Path(f"{words[-1] if words else 'model'}-{to}")


def measure_on(source: str, loaded: Loaded, say: Say | None = None) -> Measure | None:
    """How to tell the quality of a model on the data's test pairs.

    Retrieval where the data offers it, else its zero-shot tasks; noise offers nothing.

    Raises:
        UserError: the source cannot be opened.
    """
    if source == RANDOM:
        return None
    tasks = tasks_of(Data(source=source))  # on 2,000 held-out pairs at most
    tasks = [task for task in tasks if isinstance(task, RetrievalTask)] or tasks

    def measure(model: Any) -> tuple[Mapping[str, float], int]:
        if say is not None:
            names = ", ".join(task.name for task in tasks)
            kind = "the export" if model is not loaded else "the model"
            say(f"measuring {kind} on {names} ...")
        results = evaluate(model, tasks)
        values: dict[str, float] = {}
        for name, result in results.items():
            values[f"{name} {result['metric']}"] = result["value"]
            text_to_image = result["also"].get("text_to_image_r1")
            if text_to_image is not None:
                values[f"{name} text_to_image_r1"] = text_to_image
        return values, min(result["n"] for result in results.values())

    return measure
