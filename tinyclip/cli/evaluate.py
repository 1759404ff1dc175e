"""`tinyclip evaluate`: how good a model is, alone and beside its teacher."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from .show import percent, print_json, say, show_table

DATA = "builtin:pictograms"
BASE = "standard"  # the recipe whose settings of the data are changed
OWN = {"--data": "data.source", "--tasks": "tasks"}  # what options say, not --set


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="a model directory, a run, an exported folder, or another source",
    )
    add("--data", metavar="SOURCE", default=DATA, help=f"pairs to test on; {DATA}")
    add("--tasks", metavar="A,B", help="only these tasks; default: all of the data's")
    add(
        "--against",
        metavar="TEACHER",
        help="the model that retention compares with; default: the teacher that the "
        "model names, where it can be loaded",
    )
    add(
        "--set",
        metavar="A.B=V",
        action="append",
        default=[],
        help="a setting of the data, e.g. data.class_names=FILE, data.caption_column=X",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Measure a model and print how good it is.

    Raises:
        UserError: model, data, tasks or teacher cannot be had.
    """
    from ..config.load import load_recipe
    from ..config.options import check_of_data
    from ..pipeline.quality import measure

    check_of_data(args.set, OWN)
    data = replace(load_recipe(BASE, args.set).data, source=args.data)
    tasks = None
    if args.tasks is not None:
        tasks = [part.strip() for part in args.tasks.split(",")]
    report = measure(args.model, data, tasks, args.against, say)
    print_json(report) if args.json else _show(report)
    return 0


def _show(report: dict[str, Any]) -> None:
    """The table that people read."""
    from .tables import make_table

    against = f", against {report['against']}" if report["against"] else ""
    table = make_table(
        f"{report['model']} on {report['data']}{against}",
        *("task", "metric", "value", "95 %", "n", "teacher", "retention"),
    )
    table.add_column("also", justify="left")
    for name, task in report["tasks"].items():
        low, high = task["ci95"]
        also = ", ".join(
            f"{key} {_brief(value)}" for key, value in task["also"].items()
        )
        table.add_row(
            name,
            task["metric"],
            percent(task["value"]),
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{task['n']:,}",
            percent(task["teacher"]),
            percent(task["retention"]),
            also,
        )
    show_table(table, 160)


def _brief(value: float) -> str:
    return str(value) if isinstance(value, int) else percent(value)
