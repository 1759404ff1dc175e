"""`tinyclip report`: one page about one run or several."""

from __future__ import annotations

import argparse
from pathlib import Path

from .show import print_json, say, tell

NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="+", type=Path, help="folders of compress")
    add(
        "--out",
        metavar="FILE",
        type=Path,
        help=f"the page; default: {NAME} in the run, or here where there are several",
    )
    add(
        "--charts",
        metavar="DIR",
        type=Path,
        help="also write every chart there, as SVG and PNG",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Write the page.

    Raises:
        UserError: a folder is no run, or a file of it is damaged.
    """
    from ..report.page import report

    several = len(args.runs) > 1
    out = args.out or (Path(NAME) if several else args.runs[0] / NAME)
    made = report(args.runs, out, args.charts, say)
    if args.json:
        print_json(made)
        return 0
    for one in made["runs"]:
        tell(one["headline"])
    tell(f"\n{made['report']}")
    return 0
