"""What pictures and texts without a pair teach a student that has few pairs.

    python benchmarks/unpaired.py --out benchmarks/results
    python benchmarks/unpaired.py --entries pairs,both --seeds 0 --minutes 10
    python benchmarks/unpaired.py --quick

A quarter of the encoder in closed form (`cut` of benchmarks/compare.py) from 1,000
pairs, then distilled with `mimic` and 4 times `feature`: with those pairs alone, with
all pictures to train on beside them (`data.images`), with all captions to train on
(`data.texts`), with both. A step sees 128 pairs and as many of each kind. All start
from one student, see the same pairs in the same order, and are measured as in
benchmarks/objectives.py. Each cell is kept in `--work`: the same command goes on where
it was stopped. Prints one JSON object; with --out it writes that as DATE-unpaired.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ablation.entries import NONE, SINGLE, SUM, TODAY, Entry
from ablation.kept import Ablation, methods
from compare import BASE, QUICK, names, numbers
from comparison.cells import Cell, Search
from comparison.door import plainly
from comparison.work import Row

from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_pairs
from tinyclip.files import make_folder, write_bytes, write_json
from tinyclip.leaving import asked as stop_asked
from tinyclip.leaving import take_signals

TARGET, STEPS, RATE, PAIRS = 0.25, 150, 0.0014, "1000"
QUICK_STEPS = 3
IMAGES = "builtin:pictograms"
SHOWN = ("dev", "designer")  # tasks that are told


def entries(texts: Path) -> dict[str, Entry]:
    """What each sees, in the order in which they are run."""
    images = {"data.images": IMAGES}
    said = {"data.texts": str(texts)}
    seen = {"pairs": {}, "both": images | said, "images": images, "texts": said}
    losses = SINGLE[TODAY].losses
    return {n: Entry(SUM, losses, settings=own) for n, own in seen.items()}


def write_texts(path: Path, data: Data) -> int:
    """All captions to train on, each once, a line each; how many."""
    pairs = open_pairs(data)
    found = (text for i in range(len(pairs)) for text in pairs.captions(i))
    texts = list(dict.fromkeys(found))
    if not path.exists():
        write_bytes(path, "\n".join(texts).encode())
    return len(texts)


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """An entry a method: means over seeds, deviations, and the difference to `pairs` of
    the same seed."""
    groups: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        groups.setdefault(row["method"], {})[row["seed"]] = _figures(row)
    base = groups.get("pairs", {})
    return [
        {
            "seen": method,
            "seeds": sorted(by_seed),
            "figures": {
                name: _over_seeds(name, by_seed, base)
                for name in next(iter(by_seed.values()))
            },
        }
        for method, by_seed in groups.items()
    ]


def _figures(row: Row) -> dict[str, float]:
    right = {f"{task} top-1": row["tasks"][task]["value"] for task in SHOWN}
    return right | {f"{task} KL": row["divergence"][task] for task in SHOWN}


def _over_seeds(
    name: str,
    by_seed: Mapping[int, Mapping[str, float]],
    base: Mapping[int, Mapping[str, float]],
) -> dict[str, float | None]:
    values = [figures[name] for figures in by_seed.values()]
    over = [by_seed[seed][name] - base[seed][name] for seed in by_seed.keys() & base]
    return {
        "mean": statistics.mean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "over_pairs": statistics.mean(over) if over else None,
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--entries", default="pairs,both,images,texts", help="with commas between them")
    add("--seeds", default="0,1,2")
    add("--work", type=Path, help="where cells lie; default: runs/unpaired")
    add("--out", type=Path, help="folder for the JSON")
    add("--minutes", type=float, help="after which no more cells are begun")
    add("--quick", action="store_true", help="a pico teacher, seconds")
    args = parser.parse_args()
    folder = "unpaired-quick" if args.quick else "unpaired"
    args.work = args.work or Path("runs") / folder
    return args


def report(args: argparse.Namespace, stop: Any) -> dict[str, Any]:
    """Make all of the cells that are not there yet; what they come to."""
    import torch  # after tinyclip, which says how its threads wait

    base = load_recipe(*(("smoke", QUICK) if args.quick else (str(BASE),)))
    make_folder(args.work)
    texts = args.work / "texts.txt"
    count = write_texts(texts, base.data)
    offered = entries(texts)
    chosen = names(args.entries, list(offered), "--entries")
    until = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    search = Search((RATE,))
    work = Ablation(base, args.work / "runs", search, methods(offered), stop, until)
    work.open()
    steps = QUICK_STEPS if args.quick else STEPS
    seeds = numbers(args.seeds, int, "--seeds")
    cells = [Cell(n, TARGET, PAIRS, steps, s, RATE) for s in seeds for n in chosen]
    work.rows([Cell(NONE, TARGET, PAIRS, 0, 0)])  # what all start from
    rows = work.rows(cells)
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "teacher": base.teacher,
        "losses": dict(SINGLE[TODAY].losses),
        "pairs": int(PAIRS),
        "pictures": len(open_pairs(base.data)),
        "texts": count,
        "steps": steps,
        "batch": base.stages[0].batch,
        "rate": RATE,
        "summary": summary(rows),
        "rows": [{k: v for k, v in row.items() if k != "hits"} for row in rows],
    }


def main() -> None:
    """Parse the options, compare, print and write."""
    args = options()
    with plainly():
        result = report(args, stop_asked)
    print(json.dumps(result, indent=1))
    if args.out:
        make_folder(args.out)
        write_json(args.out / f"{result['date']}-unpaired.json", result)


if __name__ == "__main__":
    take_signals()
    main()
