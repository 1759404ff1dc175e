"""`tinyclip compare`: how good several models are, side by side."""

from __future__ import annotations

import argparse
from typing import Any

from .evaluate import change, interval
from .measured import add_options, asked_for, tell_alarms, verdict
from .show import percent, print_json, say, show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="a model directory, a run (of one that still goes, its last whole stage), "
        "an exported folder, or another source; the others are compared with the first",
    )
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure models on the same items and print how good they are.

    Raises:
        UserError: a model, data, tasks or teacher cannot be had.
    """
    asked = asked_for(args)
    from ..pipeline.quality import compare

    report = compare(args.models, asked, say)
    print_json(report) if args.json else _show(report)
    codes = [
        verdict(entry["tasks"], asked.fail_under, entry["model"])
        for entry in report["models"]
    ]
    return max(codes)


def _show(report: dict[str, Any]) -> None:
    """The table that people read, alarms before it: one line a task and model."""
    from .tables import make_table

    for entry in report["models"]:
        tell_alarms(entry["alarms"], entry["model"])
    first, *others = report["models"]
    against = f", against {report['against']}" if report["against"] else ""
    table = make_table(
        f"On {report['data']}{against}; differences from {first['model']} in points",
        *("task", "model", "metric", "value", "95 %", "n"),
        *("retention", "agrees", "difference, 95 %"),
    )
    for name in first["tasks"]:
        for entry in report["models"]:
            task = entry["tasks"][name]
            of_first = entry["against_first"][name] if entry is not first else None
            table.add_row(
                name,
                entry["model"],
                task["metric"],
                percent(task["value"]),
                interval(task["ci95"]),
                f"{task['n']:,}",
                percent(task["retention"]),
                percent((task["fidelity"] or {}).get("top1_agreement")),
                change(of_first),
            )
        table.add_section()
    show_table(table, 160)
