"""A family in one run beside a run of its own for each size: quality and time.

    python benchmarks/family.py --out benchmarks/results
    python benchmarks/family.py --recipe cut --shares 0.5,0.25 --set seed=1
    python benchmarks/family.py --quick

All are of one recipe, teacher and data. Seconds are the processor's, of choosing and
cutting alone: students are measured after. A finished run in --work is not made again.
Intervals are of the difference on the same test items, concepts drawn anew. Prints one
JSON object; with --out it writes that as DATE-family.json, and its table beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from comparison.measured import Hits, Measured, encoder_of, figures
from comparison.paired import paired

from tinyclip import cost
from tinyclip.config.family import with_shares
from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.files import make_folder, read_json, write_json
from tinyclip.formats.source import load_source
from tinyclip.model.store import Loaded, load_model
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir, StageDir
from tinyclip.pipeline.scheduler import execute

QUICK = (
    "teacher=builtin:pico",
    "tasks=[clipart]",
    "stages[*].batch=32",
    "stages[*].rotate.samples=64",
    "stages[*].allocate.samples=64",
    "stages[*].allocate.judged=32",
    "stages[*].allocate.tries=0",
    "stages[*].solve.samples=64",
)
COLUMNS = {"designer": "designer", "clipart": "clip art"}


def made(recipe: Recipe, folder: Path) -> tuple[list[StageDir], list[float]]:
    """The stages of a run, and what each has cost, in seconds of the processor."""
    told, run = folder.parent / f"{folder.name}.json", RunDir(folder)
    if not told.exists():
        began, ends = time.process_time(), {}

        def watch() -> bool:
            """Asked after each stage: never a reason to stop."""
            done = sum(stage.done() is not None for stage in run.stages(recipe))
            ends.setdefault(done, time.process_time())
            return False

        execute(Request(folder, recipe), stop=watch)
        times = [began, *(ends[n + 1] for n in range(len(recipe.stages)))]
        spent = [b - a for a, b in zip(times, times[1:], strict=False)]
        write_json(told, [round(seconds, 2) for seconds in spent])
        print(folder.name, spent, file=sys.stderr)  # a run takes a while
    return run.stages(recipe), read_json(told)


class Table:
    """What students are worth, beside their teacher.

    Args:
        recipe: whose teacher and tests these are.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.measured = Measured(recipe)
        self.concepts = self.measured.concepts()
        self.teacher = load_source(recipe.teacher)
        self.theirs = self.measured.hits(encoder_of(self.teacher))

    def student(self, stage: StageDir, seconds: float) -> tuple[dict[str, Any], Any]:
        """A student's figures, and its answers."""
        loaded: Loaded = load_model(stage.model)
        hits = self.measured.hits(encoder_of(loaded))
        sizes = [cost.size(m.model.shape, "encoder") for m in (loaded, self.teacher)]
        verdict = json.loads((stage.path / "allocation.json").read_text())["verdict"]
        row = {
            "cpu_seconds": seconds,
            "encoder_share": round(sizes[0] / sizes[1], 5),
            "verdict": verdict,  # on the pairs that the search judges by
            "tasks": figures(hits, self.theirs),
        }
        return row, hits

    def over(
        self, mine: Mapping[str, Hits], alone: Mapping[str, Hits]
    ) -> dict[str, dict[str, float]]:
        """A member less the student of a run of its own, by task."""
        return {
            task: asdict(paired([mine[task]], [alone[task]], self.concepts[task]))
            for task in mine
        }


def report(recipe: Recipe, shares: list[float], work: Path) -> dict[str, Any]:
    """The family and the runs of its sizes."""
    make_folder(work)
    table, members = Table(recipe), []  # first: it reads what all runs need
    family, spent = made(with_shares(recipe, None, None, shares), work / "family")
    for share, stage, seconds in zip(shares, family, spent, strict=True):
        alone = with_shares(recipe, share, None, None)
        (own,), (its,) = made(alone, work / f"alone-{share:g}")
        member, mine = table.student(stage, seconds)
        single, theirs = table.student(own, its)
        over = table.over(mine, theirs)
        members.append(
            {"share": share, "family": member, "alone": single, "over_alone": over}
        )
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "teacher": recipe.teacher,
        "recipe": recipe.name,
        "cpu_seconds": {
            kind: round(sum(member[kind]["cpu_seconds"] for member in members), 2)
            for kind in ("family", "alone")
        },
        "members": members,
    }


def page(result: Mapping[str, Any]) -> str:
    """The table: retention and time of each size, and how far the two are apart."""
    first = result["members"][0]["family"]["tasks"]
    shown = {task: title for task, title in COLUMNS.items() if task in first}
    heads = [
        f"{title}: {what}"
        for title in shown.values()
        for what in ("family", "alone", "difference, points")
    ]
    heads = ["share", *heads, "CPU s: family", "alone"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for member in result["members"]:
        cells = [f"{member['share']:.0%}"]
        for task in shown:
            for kind in ("family", "alone"):
                kept = member[kind]["tasks"][task]["retention"]
                cells.append("–" if kept is None else f"{100 * kept:.1f} %")
            gap = member["over_alone"][task]
            value, low, high = (100 * gap[key] for key in ("value", "low", "high"))
            cells.append(f"{value:+.1f} ({low:+.1f} to {high:+.1f})")
        cells += [f"{member[kind]['cpu_seconds']:.0f}" for kind in ("family", "alone")]
        lines.append(f"| {' | '.join(cells)} |")
    spent = result["cpu_seconds"]
    lines.append(
        f"\nIn all {spent['family']:.0f} s of the processor for the family, "
        f"{spent['alone']:.0f} s for runs of their own."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--recipe", default="cut")
    add("--shares", default="0.75,0.5,0.25,0.1", help="largest first")
    add("--set", action="append", default=[], metavar="A.B=V")
    add("--work", type=Path, help="where runs are kept; without it they are not")
    add("--out", type=Path, help="folder for the JSON and the table")
    add("--quick", action="store_true", help="a pico teacher, seconds")
    args = parser.parse_args()
    try:
        changes = [*(QUICK if args.quick else ()), "evaluate=false", *args.set]
        recipe = load_recipe(args.recipe, changes)
        shares = "0.75,0.5" if args.quick else args.shares
        listed = [float(share) for share in shares.split(",")]
        with TemporaryDirectory() as scratch:
            result = report(recipe, listed, args.work or Path(scratch))
    except UserError as error:
        raise SystemExit(str(error)) from None
    print(json.dumps(result, indent=1))
    if args.out:
        make_folder(args.out)
        stem = f"{result['date']}-family"
        write_json(args.out / f"{stem}.json", result)
        (args.out / f"{stem}.md").write_text(page(result))


if __name__ == "__main__":
    main()
