"""What lies beside a model: its certificate, what was measured of it, its parity.

Somebody else may have written them, and what is shown of them is checked before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..bounded import read_settings
from ..errors import UserError
from ..typed import Maybe, misfit

EXACT = {"max_abs_diff": float}
CERTIFICATE = {**EXACT, "n": int, "rotated": Maybe(EXACT), "solved": Maybe(EXACT)}
TASK = {
    "metric": str,
    "value": float,
    "ci95": [float],
    "n": int,
    "teacher": Maybe(float),
    "retention": Maybe(float),
    "chance": Maybe(float),
    "also": Maybe({str: Maybe(float)}),
    "teacher_also": Maybe({str: Maybe(float)}),
    "intervals": Maybe({str: [float]}),
    "difference": Maybe({"ci95": Maybe([float])}),
}
ALARM = {
    "task": str,
    "metric": str,
    "value": float,
    "teacher": float,
    "retention": float,
    "chance": float,
    "median": Maybe(float),
    "reasons": [str],
}
METRICS = {"tasks": Maybe({str: TASK}), "alarms": Maybe([ALARM])}
COSINE = {"image": float, "text": float}
PARITY = {
    **EXACT,
    "n": int,
    "cosine": Maybe(COSINE),
    "conversion": Maybe({"exact": bool}),
}
TOWER = {"mean": float, "lowest": float}
LOSS = {"image": TOWER, "text": TOWER, "top1_agreement": float, "n": int, "inputs": str}
MEND = "Mend or remove it"


def read_certificate(folder: Path) -> dict[str, Any] | None:
    """How exact a model's inheritance was; None if nothing is said of it.

    Raises:
        UserError: the file is damaged.
    """
    return _read(folder / "certificate.json", CERTIFICATE)


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """What was measured of a model; None if nothing was.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / "metrics.json"
    metrics = _read(path, METRICS)
    for name, task in ((metrics or {}).get("tasks") or {}).items():
        more = task.get("intervals") or {}
        sure = {"ci95": task["ci95"], **{f"intervals.{n}": i for n, i in more.items()}}
        sure["difference.ci95"] = (task.get("difference") or {}).get("ci95") or [0, 0]
        for which, interval in sure.items():
            if len(interval) != 2:
                raise UserError(str(path), f"tasks.{name}.{which} is no interval", MEND)
    return metrics


def read_parity(folder: Path) -> dict[str, Any] | None:
    """What was compared when a folder was exported; None if it does not say.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / "parity.json"
    parity = _read(path, PARITY)
    loss = (parity or {}).get("conversion")
    if loss is not None and not loss["exact"]:
        _check(path, loss, LOSS)
    return parity


READERS = {"certificate.json": read_certificate, "metrics.json": read_metrics}


def _read(path: Path, kind: Any) -> dict[str, Any] | None:
    if not path.exists() and not path.is_symlink():
        return None
    value = read_settings(path, MEND)
    _check(path, value, kind)
    return value


def _check(path: Path, value: Any, kind: Any) -> None:
    wrong = misfit(value, kind)
    if wrong:
        raise UserError(str(path), f"is damaged ({wrong})", MEND)
