"""`tinyclip evaluate`: how good a model is, alone and beside its teacher."""

from __future__ import annotations

import argparse
from typing import Any

from .measured import add_options, asked_for, tell_alarms, verdict
from .show import percent, print_json, say, show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a model directory, a run (of one that still goes, its last whole stage), "
        "an exported folder, or another source",
    )
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure a model and print how good it is.

    Raises:
        UserError: model, data, tasks or teacher cannot be had.
    """
    asked = asked_for(args)
    from ..pipeline.quality import measure

    report = measure(args.model, asked, say)
    print_json(report) if args.json else _show(report)
    return verdict(report["tasks"], asked.fail_under, args.model)


def _show(report: dict[str, Any]) -> None:
    """The table that people read, alarms before it."""
    from .tables import make_table

    tell_alarms(report["alarms"])
    against = f", against {report['against']}" if report["against"] else ""
    table = make_table(
        f"{report['model']} on {report['data']}{against}",
        *("task", "metric", "value", "95 %", "n", "chance", "teacher", "retention"),
        *("difference, 95 %", "agrees"),
    )
    table.add_column("also", justify="left")
    for name, task in report["tasks"].items():
        also = ", ".join(
            f"{key} {_brief(value)}" for key, value in task["also"].items()
        )
        table.add_row(
            name,
            task["metric"],
            percent(task["value"]),
            interval(task["ci95"]),
            f"{task['n']:,}",
            percent(task["chance"]),
            percent(task["teacher"]),
            percent(task["retention"]),
            change(task["difference"]),
            percent((task["fidelity"] or {}).get("top1_agreement")),
            also,
        )
    show_table(table, 160)


def interval(ends: list[float] | None) -> str:
    """Two shares as people read them."""
    return "–" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def change(difference: dict[str, Any] | None) -> str:
    """A difference in points, and its interval."""
    if difference is None:
        return "–"
    low, high = difference["ci95"] or (difference["value"],) * 2
    return f"{100 * difference['value']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _brief(value: float) -> str:
    return str(value) if isinstance(value, int) else percent(value)
