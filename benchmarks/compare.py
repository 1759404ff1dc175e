"""Every way to a smaller CLIP: methods x sizes x data x steps x seeds, in one grid.

    python benchmarks/compare.py --plan
    python benchmarks/compare.py --methods cut,magnitude --targets 0.25 --seeds 0
    python benchmarks/compare.py --out benchmarks/results
    python benchmarks/compare.py --quick
    python benchmarks/compare.py --table benchmarks/results/2026-11-26-compare.json

Each cell is a run that is kept (`--work`): the same command goes on where it was
stopped, and one with more on its axes adds to what is there. Several processes may
share a folder. `--plan` lists the cells in their order, the most telling first, and how
long they take, from those that are finished.

Every student of a cell sees the same number of pictures with the same batch, teacher
and seed. A method's learning rate is chosen among the same few at one cell, on `dev`
alone; all else is for the report: `designer` is the held-out designer,
`designer_unshown` those of its drawings whose names no picture to learn from has.

`seconds` are those of cutting and training: the teacher's features are made before,
once for all methods but the one that runs it at every step, and students are measured
after. Tables and figures show `cpu_seconds`, the processor's, which a busy machine
changes little. A cell of more than one attempt tells those of its last. Prints one JSON
object; with --out it writes that as DATE-compare.json, beside tables and figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from comparison import cells as grid
from comparison.cells import Axes, Cell, Search
from comparison.door import plainly
from comparison.figures import draw
from comparison.methods import METHODS, available
from comparison.plan import listing
from comparison.summary import summary
from comparison.table import table
from comparison.work import Work

from tinyclip.config.load import load_recipe
from tinyclip.errors import UserError, nearest
from tinyclip.files import make_folder, read_json, write_json
from tinyclip.leaving import asked as stop_asked
from tinyclip.leaving import take_signals

RATES = (0.0005, 0.0014, 0.004)
BASELINE = "magnitude"
BASE = Path(__file__).with_name("comparison") / "base.yaml"
QUICK = (  # a random pico teacher, and no drawings to train on but few clip-arts
    "data.exclude=['emoji/fluent*', 'emoji/noto*', 'clipart/[d-z]*', 'clipart/co*']",
    "tasks=[designer, dev, clipart]",
    "checkpoint_every=100",
    "stages[*].score.samples=16",
)
QUICK_AXES = {"targets": "0.25", "data": "1000", "steps": "0,6", "seeds": "0"}


def report(work: Work, cells: Sequence[Cell], baseline: str) -> dict[str, Any]:
    """Make all of the cells that are not there yet; what they come to."""
    import torch  # after tinyclip, which says how its threads wait

    rows = work.rows(cells)
    known = [name for name in METHODS if any(row["method"] == name for row in rows)]
    unshown = {cell.data: work.unshown(cell) for cell in cells}
    concepts = work.measured.concepts()
    trained = [
        name for name in known if any(c.steps for c in cells if c.method == name)
    ]
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "teacher": work.base.teacher,
        "baseline": baseline,
        "titles": {name: METHODS[name].title for name in known},
        # what each rate came to on dev
        "rates": {name: work.tried(name) for name in trained},
        "missing": len(cells) - len(rows),
        "rows": [{k: v for k, v in row.items() if k != "hits"} for row in rows],
        "summary": summary(rows, baseline, concepts, unshown),
    }


def names(text: str, known: Sequence[str], option: str) -> list[str]:
    """The names between commas.

    Raises:
        UserError: one is not known.
    """
    words = text.split(",")
    for word in words:
        if word not in known:
            raise UserError(option, f"unknown {word!r}", nearest(word, known))
    return words


def numbers(text: str, kind: type, option: str) -> list[Any]:
    """The numbers between commas.

    Raises:
        UserError: one is none.
    """
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        raise UserError(option, f"{text!r} is no list of numbers", "Try 0,1") from None


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument

    def axis(name: str, values: Sequence[object], what: str) -> None:
        shown = ",".join(map(str, values))
        default = QUICK_AXES.get(name, shown) if "--quick" in sys.argv else shown
        add(f"--{name}", default=default, help=f"{what}; default: {default}")

    axis("methods", list(available()), "with commas between them")
    axis("targets", grid.TARGETS, "shares of the encoder that are left")
    axis("data", grid.GRID_DATA, f"of {', '.join(grid.DATA)}")
    axis("steps", grid.STEPS, "of training altogether; 0: none")
    axis("seeds", grid.SEEDS, "runs of each cell")
    add("--rates", default=",".join(map(str, RATES)), help="that are tried; one: used")
    add("--baseline", default=BASELINE, help="what the others are compared with")
    add("--recipe", help="what all have in common; default: comparison/base.yaml")
    add("--set", action="append", default=[], metavar="A.B=V")
    add("--work", type=Path, help="where cells lie; default: runs/compare")
    add("--out", type=Path, help="folder for JSON, tables and figures")
    add("--minutes", type=float, help="after which no more cells are begun")
    add("--plan", action="store_true", help="list the cells and how long they take")
    add("--quick", action="store_true", help="a pico teacher, seconds")
    add("--table", type=Path, metavar="JSON", help="print the tables of a comparison")
    args = parser.parse_args()
    args.recipe = args.recipe or ("smoke" if args.quick else str(BASE))
    args.work = args.work or Path("runs") / (
        "compare-quick" if args.quick else "compare"
    )
    return args


def asked(args: argparse.Namespace, stop: Any) -> tuple[Work, list[Cell]]:
    """The folder and its cells.

    Raises:
        UserError: a name or a number is wrong, or the folder is another comparison's.
    """
    methods = available()
    axes = Axes(
        names(args.methods, list(methods), "--methods"),
        numbers(args.targets, float, "--targets"),
        names(args.data, list(grid.DATA), "--data"),
        numbers(args.steps, int, "--steps"),
        numbers(args.seeds, int, "--seeds"),
    )
    base = load_recipe(args.recipe, [*(QUICK if args.quick else ()), *args.set])
    search = Search(numbers(args.rates, float, "--rates"))
    if args.quick:
        search = Search(search.rates[:2], steps=max(axes.steps))
    until = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    work = Work(base, args.work, search, methods, stop, until)
    work.open()
    trains = {name: method.trains for name, method in methods.items()}
    return work, axes.cells(trains)


def write(result: dict[str, Any], folder: Path) -> None:
    """The JSON, the tables and the figures."""
    make_folder(folder)
    stem = f"{result['date']}-compare"
    write_json(folder / f"{stem}.json", result)
    (folder / f"{stem}.md").write_text(table(result))
    for path in draw(result, folder, stem):
        print(path, file=sys.stderr)


def main() -> None:
    """Parse the options, compare, print and write."""
    args = options()
    if args.table:
        print(table(read_json(args.table)), end="")
        return
    with plainly():
        work, cells = asked(args, stop_asked)
        if args.plan:
            print(listing(work, cells))
            return
        result = report(work, cells, args.baseline)
    print(json.dumps(result, indent=1))
    if args.out:
        write(result, args.out)


if __name__ == "__main__":
    take_signals()
    main()
