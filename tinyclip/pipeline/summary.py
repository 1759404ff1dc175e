"""What a finished run comes to: a row for the teacher and for every student."""

from __future__ import annotations

from typing import Any

from ..cost import FLOAT_BYTES
from ..files import read_json
from .run_dir import RunDir
from .unpaired import seen_until


def summary(run: RunDir) -> dict[str, Any]:
    """The figures of the final table, read from the run's own files.

    Returns:
        `{"run": folder, "model": folder, "teacher": row, "students": [row, ...]}`.
    """
    recipe = run.recipe()
    rows = []
    for folder in run.stages(recipe):
        done = folder.done()
        if done is None:
            continue
        seen = seen_until(recipe, folder.number - 1)
        config = read_json(folder.model / "config.json")
        certificate = folder.model / "certificate.json"
        metrics = folder.model / "metrics.json"
        rows.append(
            {
                "stage": folder.number,
                "samples": {"pairs": done["samples"], **seen},
                "model": str(folder.model),
                "sizes": config["sizes"],
                "share": config["share"],
                "bytes": (folder.model / "model.safetensors").stat().st_size,
                "certificate": read_json(certificate) if certificate.exists() else None,
                "metrics": read_json(metrics) if metrics.exists() else None,
            }
        )
    plan = run.read("plan.json")
    return {
        "run": str(run.path),
        "model": str(run.model),
        "towers": list(recipe.towers),
        "budget": recipe.budget,
        "finished": run.is_done(recipe),
        "teacher": {
            "source": recipe.teacher,
            "sizes": plan["sizes"],
            "bytes": FLOAT_BYTES * plan["sizes"]["total"],
            "metrics": run.read("teacher.json"),
        },
        "students": rows,
    }
