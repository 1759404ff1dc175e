"""`tinyclip evaluate`: how good a model is, alone and beside its teacher."""

from __future__ import annotations

import argparse
from typing import Any

from .measured import add_options, asked_for, tell_alarms, verdict
from .show import percent, print_json, say, show_table

OF_PARTS = ("right", "items", "chance", "left_out")  # of a choice, and a part's name


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
        of_parts = {f"{kind}_{part}" for part in parts_of(task) for kind in OF_PARTS}
        also = ", ".join(
            f"{key} {_brief(value)}"
            for key, value in task["also"].items()
            if key not in of_parts
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
    _show_parts(report["tasks"])


def parts_of(task: dict[str, Any]) -> list[str]:
    """The parts of a choice that have items, or were left out whole."""
    also = task["also"]
    names = [key.removeprefix("items_") for key in also if key.startswith("items_")]
    missing = [key.removeprefix("left_out_") for key in also if "left_out_" in key]
    return [*dict.fromkeys([*names, *missing])]


def _show_parts(tasks: dict[str, Any]) -> None:
    """A row for every part of a choice; nothing where there are none."""
    from .tables import make_table

    table = make_table(
        "choices by their parts: how often the true text is the nearest",
        *("task", "part", "right", "95 %", "n", "chance", "teacher", "left out"),
    )
    for name, task in tasks.items():
        also, teacher = task["also"], task["teacher_also"] or {}
        for part in parts_of(task):
            table.add_row(
                name,
                part,
                percent(also.get(f"right_{part}")),
                interval(task["intervals"].get(f"right_{part}")),
                f"{also.get(f'items_{part}', 0):,}",
                percent(also.get(f"chance_{part}", task["chance"])),
                percent(teacher.get(f"right_{part}")),
                f"{also.get(f'left_out_{part}', 0):,}",
            )
    if table.row_count:
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
