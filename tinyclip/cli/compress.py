"""`tinyclip compress`: the main job."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cost import BUDGETS
from ..errors import UserError
from ..goal import LAYOUTS
from ..leaving import asked
from .measured import FAIL_UNDER, add_fail_under, least_kept, verdict

if TYPE_CHECKING:
    from ..config.schema import Recipe
    from ..pipeline.request import Request

DEFAULT = "demo"  # no recipe, no teacher, no data: the embedded default
SETTINGS = {  # options, and the settings of the recipe that they stand for
    "--teacher": "teacher",
    "--data": "data.source",
    "--val": "data.val",
    "--budget": "budget",
    "--layout": "layout",
    "--towers": "towers",
    "--round-to": "round_to",
    "--vocab": "vocab",
}
FAMILY = "cut"  # no recipe, but a family
OWN = "standard"  # no recipe, but a teacher or data of the user's own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add = parser.add_argument
    add("recipe", nargs="?", help="a shipped recipe (`tinyclip recipes ls`) or a file")
    add("--teacher", metavar="SOURCE", help="the CLIP to make smaller")
    add("--data", metavar="SOURCE", help="image-text pairs: csv:FILE, folder:DIR, ...")
    add("--val", metavar="SOURCE", help="validation pairs; default 2 %% of the data")
    add("--target", metavar="SHARE", help="share of the teacher that is left, 0.25")
    add("--stages", metavar="N", help="in how many stages, 1 to 10")
    add(
        "--family",
        metavar="A,B,...",
        help="nested students of these shares, each cut from the teacher: 0.5,0.25",
    )
    add(
        "--budget",
        choices=tuple(BUDGETS),
        help="what the share counts: "
        + ", ".join(f"{budget.about} ({name})" for name, budget in BUDGETS.items()),
    )
    add("--layout", choices=LAYOUTS, help="uniform: stock shapes")
    add("--towers", metavar="A,B", help="image, text, or both; others stay as they are")
    add("--round-to", metavar="N", help="ffn and embed widths are multiples of N")
    add(
        "--vocab",
        metavar="captions|FILE",
        help="drop the token ids that the captions (or the lines of FILE) never use",
    )
    add("--out", metavar="DIR", type=Path, help="where the run lives: runs/<recipe>")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--from-stage", metavar="N", type=int, help="redo stage N and those after it")
    add(
        "--accept-changes",
        action="store_true",
        help="resume though recipe, teacher, data or libraries have changed",
    )
    add(
        "--log-with",
        metavar="TRACKER",
        help="also log to tensorboard (RUN/tracking), or another tracker that "
        "accelerate knows",
    )
    add_fail_under(parser, "a task of the last student")
    add("--no-report", action="store_true", help="write no RUN/report.html at the end")
    add("--dry-run", action="store_true", help="print the plan; write and run nothing")
    add(
        "--set",
        metavar="A.B=V",
        action="append",
        default=[],
        help="change one setting, e.g. stages[*].batch=64",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def recipe_from(args: argparse.Namespace, stored: Path | None) -> Recipe | None:
    """The recipe that the arguments spell, or None when they name none.

    Args:
        stored: the recipe of the run that goes on; what arguments change is relative
            to it.
    """
    from ..config.family import with_shares
    from ..config.load import load_recipe
    from ..config.options import typed, with_options
    from ..config.tasks import on_other_pairs

    values = typed(vars(args), SETTINGS)
    own = args.teacher or args.data
    shares = args.target, args.stages, args.family
    changes = args.recipe or any(shares) or any(values.values())
    if stored is not None and not (changes or args.set):
        return None
    if args.recipe is None and args.teacher and not args.data and stored is None:
        raise UserError(
            "--data",
            "a teacher of your own needs pairs of your own",
            "Name them: --data csv:pairs.csv, or --data builtin:pictograms",
        )
    fresh = FAMILY if args.family is not None else OWN if own else DEFAULT
    base = args.recipe or (str(stored) if stored else fresh)
    recipe = load_recipe(base, args.set)
    recipe = with_shares(recipe, args.target, args.stages, args.family)
    own_pairs = recipe.data.source
    recipe = with_options(recipe, SETTINGS, values)
    return on_other_pairs(base, own_pairs, recipe, args.set)


def request_from(args: argparse.Namespace) -> Request:
    """What the arguments ask for, and of which folder.

    Raises:
        UserError: they name no run to go on with, or their recipe is wrong.
    """
    if (args.resume or args.from_stage is not None) and not (args.out or args.recipe):
        raise UserError(
            "--out", "no run is named to go on with", "Name its folder with --out DIR"
        )
    out = args.out
    stored = None
    if args.resume or args.from_stage is not None:
        out = out or Path("runs") / Path(args.recipe).stem
        if (out / "recipe.yaml").is_file():
            stored = out / "recipe.yaml"
    starting = stored is None and not (args.resume and not args.recipe)
    recipe = recipe_from(args, stored) if starting or stored else None
    if out is None:
        assert recipe is not None
        out = Path("runs") / recipe.name
    from ..pipeline.request import Request

    return Request(
        out,
        recipe,
        args.resume,
        args.from_stage,
        args.accept_changes,
        args.log_with,
    )


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say.

    Raises:
        UserError, Interrupted: as `pipeline.scheduler.execute`.
    """
    least = least_kept(args.fail_under)
    request = request_from(args)
    from ..pipeline.request import settle
    from ..pipeline.run_dir import RunDir
    from ..pipeline.scheduler import dry_run, execute
    from ..pipeline.summary import summary
    from . import tables
    from .progress import watcher
    from .show import print_json

    if least is not None:
        refuse_unmeasured(request.recipe or settle(request)[1])
    if args.dry_run:
        recipe = request.recipe
        # nothing is written, so a folder in use is no obstacle to a new plan
        if args.resume or args.from_stage is not None:
            recipe = settle(request)[1]
        assert recipe is not None
        run_dir = RunDir(request.out)
        plan = dry_run(recipe, run_dir, args.log_with, args.accept_changes).to_dict()
        print_json(plan) if args.json else tables.show_plan(plan)
        return 0
    with watcher() as shown:
        finished = execute(request, shown, asked)
    if os.environ.get("RANK", "0") != "0":
        return 0  # of several processes one tells
    report = summary(finished)
    print_json(report) if args.json else tables.show_summary(report)
    if not args.no_report:
        tell_in_a_page(finished.path)
    return verdict(_last_tasks(report), least, report["model"])


def tell_in_a_page(run: Path) -> None:
    """Write the run's report; that it cannot be written spoils no run that is whole."""
    from ..errors import TinyclipError
    from ..report.page import report
    from .report import NAME
    from .show import say

    try:
        report([run], run / NAME, None, say)
        say(f"A page that tells it all: {run / NAME}")
    except TinyclipError as error:
        say(f"no {NAME}: {error}")


def refuse_unmeasured(recipe: Recipe) -> None:
    """Find out now that nothing will be measured which could be too little.

    Raises:
        UserError: the recipe has `evaluate: false`.
    """
    if not recipe.evaluate:
        what = "the recipe measures no student (evaluate: false)"
        raise UserError(FAIL_UNDER, what, "Leave it out, or --set evaluate=true")


def _last_tasks(report: dict[str, Any]) -> dict[str, Any]:
    """What was measured of the last student."""
    students = report["students"]
    metrics = students[-1]["metrics"] if students else None
    tasks: dict[str, Any] = (metrics or {}).get("tasks", {})
    return tasks
