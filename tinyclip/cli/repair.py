"""`tinyclip repair`: what a model's text features say of the order of words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .measured import OWN, tell_alarms
from .show import tell

BASE = "standard"  # the recipe whose settings of the data are changed
DATA = "builtin:pictograms"
STEPS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model directory, a run, or a source")
    add(
        "--data",
        metavar="SOURCE",
        default=DATA,
        help=f"pairs whose captions name several things; {DATA}",
    )
    add("--out", type=Path, metavar="DIR", required=True, help="the repaired model")
    add(
        "--fold",
        action="store_true",
        help="put the map into the weights; else it lies beside them",
    )
    add("--steps", type=int, metavar="N", default=STEPS, help=f"of training; {STEPS}")
    add("--seed", type=int, metavar="N", default=0, help="of all that is drawn; 0")
    add(
        "--set",
        metavar="A.B=V",
        action="append",
        default=[],
        help="a setting of the data, e.g. data.limit=2000, data.caption_column=X",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Repair a model, and tell what it gained and what it cost.

    Raises:
        UserError, TinyclipError: as `pipeline.repair.repair`.
    """
    from dataclasses import replace

    from ..config.load import load_recipe
    from ..config.options import check_of_data
    from ..pipeline.repair import repair
    from .show import print_json, say

    check_of_data(args.set, {"--data": OWN["--data"], "--seed": "seed"})
    data = replace(load_recipe(BASE, args.set).data, source=args.data)
    report = repair(
        args.model,
        data,
        args.out,
        fold=args.fold,
        steps=args.steps,
        seed=args.seed,
        say=say,
    )
    print_json(report) if args.json else _show(report)
    return 0


def _show(report: dict[str, Any]) -> None:
    """What people read: before and after, then what it comes to."""
    from .evaluate import change
    from .show import percent, show_table
    from .tables import make_table

    tell_alarms(report["alarms"])
    columns = "metric", "n", "before", "after", "difference, 95 %"
    title = f"{report['model']} on held-out pairs of {report['data']}"
    table = make_table(title, "task", *columns)
    for name, task in {"swapped": report["gain"], **report["tasks"]}.items():
        table.add_row(
            name,
            task["metric"],
            f"{task['n']:,}",
            percent(task["before"]),
            percent(task["after"]),
            change(task["difference"]),
        )
    show_table(table, 120)
    tell(verdict(report))
    seconds, written = report["seconds"], report["written"]
    tell(
        f"learnt from {report['pairs']:,} pairs in {seconds['steps']:.1f} s, after "
        f"{seconds['features']:.1f} s for their features; strength "
        f"{report['strength']:g} of the map, chosen on other pairs"
    )
    if report["times"] > 1:
        tell(f"repaired before: this is repair {report['times']}, on top of the others")
    place = "in its weights" if report["folded"] else "beside its weights"
    tell(
        f"{report['out']}: the map lies {place}; read again, its text features differ "
        f"by at most {written['max_abs_diff']:.1e} on {written['n']} captions"
    )


def verdict(report: dict[str, Any]) -> str:
    """What a repair gained, plainly."""
    gain = report["gain"]
    difference = gain["difference"]
    low, high = difference["ci95"] or (difference["value"],) * 2
    if report["strength"] == 0:
        return (
            "It gained nothing: on the pairs that choose, no strength of the map had "
            "more captions right without finding fewer. The model is as it was."
        )
    if low > 0:
        return "It gained: more held-out captions are nearer than their swapped form."
    if high < 0:
        return "It lost: fewer held-out captions are nearer than their swapped form."
    return (
        "It gained nothing that the held-out captions can tell from chance: the "
        "interval of the difference has 0 in it."
    )
