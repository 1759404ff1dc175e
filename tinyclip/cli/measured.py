"""What the verbs that measure share: their options, alarms, and the exit code."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .show import complain, percent, tell

if TYPE_CHECKING:
    from ..pipeline.quality import Asked

DATA = "builtin:pictograms"
BASE = "standard"  # the recipe whose settings of the data are changed
OWN = {"--data": "data.source", "--tasks": "tasks"}  # what options say, not --set
FAIL_UNDER = "--fail-under"
TASKS = "only these tasks, or groups of them: usual, probes; default: usual"
LOST = 4  # the exit code of a retention under the one asked for (design §3.1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of data, tasks and teacher."""
    add = parser.add_argument
    add("--data", metavar="SOURCE", default=DATA, help=f"pairs to test on; {DATA}")
    add("--tasks", metavar="A,B", help=TASKS)
    add(
        "--against",
        metavar="TEACHER",
        help="the model that retention compares with; default: the teacher that the "
        "model names, where it can be loaded",
    )
    add_fail_under(parser, "a task")
    add(
        "--set",
        metavar="A.B=V",
        action="append",
        default=[],
        help="a setting of the data, e.g. data.class_names=FILE, data.caption_column=X",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def add_fail_under(parser: argparse.ArgumentParser, of: str) -> None:
    """The option that makes a loss an exit code."""
    parser.add_argument(
        FAIL_UNDER,
        metavar="SHARE",
        help=f"exit {LOST} where {of} keeps less of the teacher's figure: 0.9",
    )


def least_kept(text: str | None) -> float | None:
    """The share that `--fail-under` asks for.

    Raises:
        UserError: it is none.
    """
    if text is None:
        return None
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        what = f"{text!r} is no share above 0 and at most 1"
        raise UserError(FAIL_UNDER, what, "Write for example 0.9")
    return share


def asked_for(args: argparse.Namespace) -> Asked:
    """What the options of `add_options` say.

    Raises:
        UserError: one is wrong.
    """
    from ..config.load import load_recipe
    from ..config.options import check_of_data
    from ..pipeline.quality import Asked

    check_of_data(args.set, OWN)
    least = least_kept(args.fail_under)
    data = replace(load_recipe(BASE, args.set).data, source=args.data)
    tasks = None
    if args.tasks is not None:
        tasks = [part.strip() for part in args.tasks.split(",")]
    return Asked(data, tasks, args.against, least)


def tell_alarms(alarms: Iterable[Mapping[str, Any]], of: str = "") -> None:
    """A line for each task that a model lost; nothing where it lost none.

    Args:
        of: whose they are, where a report has several models.
    """
    for alarm in alarms:
        middle = alarm["median"]
        far = (
            "" if middle is None else f"; the median of its tasks is {percent(middle)}"
        )
        above = " above chance" if alarm.get("floor") else ""
        tell(
            f"ALARM{f' {of}' if of else ''}: {alarm['task']} keeps "
            f"{percent(alarm['retention'])} of the teacher's {alarm['metric']}{above} "
            f"({percent(alarm['value'])} of {percent(alarm['teacher'])}, by chance "
            f"{percent(alarm['chance'])}){far}"
        )


def verdict(
    tasks: Mapping[str, Mapping[str, Any]], least: float | None, of: str
) -> int:
    """0, or `LOST` and a line on stderr where a task keeps less than was asked for."""
    from ..evaluation.alarm import lost

    under = {} if least is None else lost(tasks, least)
    if not under:
        return 0
    shown = ", ".join(f"{name} {percent(kept)}" for name, kept in under.items())
    words = f"{of} keeps less than {percent(least)} of its teacher: {shown}"
    return complain(f"{words} ({FAIL_UNDER})", LOST)
