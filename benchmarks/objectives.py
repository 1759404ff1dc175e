"""What each objective teaches an inherited student: alone, beside others, in sums.

    python benchmarks/objectives.py --out benchmarks/results
    python benchmarks/objectives.py --entries mimic,crd --data 1000 --seeds 0
    python benchmarks/objectives.py --minutes 0
    python benchmarks/objectives.py --table RESULTS/2026-11-26-objectives.json
    python benchmarks/objectives.py --quick

One student for each choice of data: a quarter of the encoder in closed form (`cut` of
benchmarks/compare.py). Every entry of `ablation/entries.py` starts from it and sees the
same pictures in the same order at the same rate; a seed is of order, augmentations and
parameters of objectives. The first seed of all comes first; the two best mixes on `dev`
get further ones before all others do, and the best of all and `mimic` are looked at at
other rates.

Mixes are chosen by `dev` alone: top-1, and of equals the divergence, the mean
KL(teacher ‖ student) of the softmax of similarities of a picture with all class names.
All other tasks are for the report. Each cell is kept in `--work`: the same command goes
on where it was stopped, and runs what new entries there are. Prints one JSON object;
with --out it writes that as DATE-objectives.json, beside the tables.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

from ablation.entries import ENTRIES, TODAY
from ablation.kept import Ablation, methods
from ablation.order import BEST, Axes, best, rows_of
from ablation.page import page
from ablation.summary import about, orders, summary
from ablation.table import table
from compare import BASE, QUICK, names, numbers
from comparison.cells import DATA, Search
from comparison.door import plainly

from tinyclip.config.load import load_recipe
from tinyclip.files import make_folder, read_json, write_json
from tinyclip.leaving import asked as stop_asked
from tinyclip.leaving import take_signals

RATE = 0.0014
QUICK_ENTRIES = (TODAY, "mimic+16feature")
QUICK_STEPS = 3


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--entries", help="with commas between them; default: all that are offered")
    add("--data", help=f"of {', '.join(DATA)}; default: 1000,all")
    add("--seeds", help="the first is where mixes are chosen; default: 0,1,2")
    add("--work", type=Path, help="where cells lie; default: runs/objectives")
    add("--out", type=Path, help="folder for JSON and tables")
    add("--minutes", type=float, help="after which no more cells are begun")
    add("--quick", action="store_true", help="a pico teacher, seconds")
    add("--table", type=Path, metavar="JSON", help="print the tables of a report")
    add("--page", type=Path, metavar="JSON", help="print what docs/objectives.md has")
    args = parser.parse_args()
    quick = args.quick
    offered = [name for name, entry in ENTRIES.items() if entry.offered]
    args.entries = args.entries or ",".join(QUICK_ENTRIES if quick else offered)
    args.data = args.data or ("1000" if quick else "1000,all")
    args.seeds = args.seeds or ("0,1" if quick else "0,1,2")
    args.work = args.work or Path("runs") / (
        "objectives-quick" if quick else "objectives"
    )
    return args


def asked(args: argparse.Namespace, stop: Any) -> tuple[Ablation, Axes]:
    """The folder and what is asked of it.

    Raises:
        UserError: a name or a number is wrong, or the folder is another ablation's.
    """
    offered = {name: entry for name, entry in ENTRIES.items() if entry.offered}
    axes = Axes(
        {n: offered[n] for n in names(args.entries, list(offered), "--entries")},
        names(args.data, list(DATA), "--data"),
        numbers(args.seeds, int, "--seeds"),
        RATE,
    )
    if args.quick:
        axes = Axes(axes.entries, axes.data, axes.seeds, axes.rate, QUICK_STEPS, ())
        base = load_recipe("smoke", QUICK)
    else:
        base = load_recipe(str(BASE))
    until = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    search = Search((axes.rate,))
    work = Ablation(base, args.work, search, methods(axes.entries), stop, until)
    work.open()
    return work, axes


def report(work: Ablation, axes: Axes) -> dict[str, Any]:
    """Make all of the cells that are not there yet; what they come to."""
    import torch  # after tinyclip, which says how its threads wait

    rows = rows_of(work, axes)
    unshown = {cell.data: work.unshown(cell) for cell in axes.inherited()}
    entries = summary(rows, work.measured.concepts(), unshown)
    known = list(dict.fromkeys(row["method"] for row in rows))
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "teacher": work.base.teacher,
        "steps": axes.steps,
        "batch": work.base.stages[0].batch,
        "rate": axes.rate,
        "today": TODAY,
        "best": best(rows, axes.entries, axes.rate, BEST),
        "about": about(known),
        "orders": orders(entries, axes.rate),
        "summary": entries,
        "rows": [{k: v for k, v in row.items() if k != "hits"} for row in rows],
    }


def write(result: dict[str, Any], folder: Path) -> None:
    """The JSON and the tables."""
    make_folder(folder)
    stem = f"{result['date']}-objectives"
    write_json(folder / f"{stem}.json", result)
    (folder / f"{stem}.md").write_text(table(result))


def main() -> None:
    """Parse the options, compare, print and write."""
    args = options()
    if args.table:
        print(table(read_json(args.table)), end="")
        return
    if args.page:
        print(page(read_json(args.page), args.page.stem), end="")
        return
    with plainly():
        result = report(*asked(args, stop_asked))
    print(json.dumps(result, indent=1))
    if args.out:
        write(result, args.out)


if __name__ == "__main__":
    take_signals()
    main()
