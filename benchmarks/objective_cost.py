"""What each objective costs beside `mimic`: time and memory of its value and gradient.

    python benchmarks/objective_cost.py
    python benchmarks/objective_cost.py --batches 32768 --width 64 --names mimic,gd
    python benchmarks/objective_cost.py --quick

Features are random and normalised. Seconds are the processor's, the median of rounds in
which every objective takes its turn after `mimic`; memory is what a process of its own
takes at most beyond the features, on one thread unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

BASELINE = "mimic"
MIB = 1024**2


def cost(name: str, batch: int, width: int, rounds: int) -> dict[str, float]:
    """One objective in this process: seconds, those of the baseline, and peak MiB."""
    import torch

    from tinyclip.config.place import Place
    from tinyclip.losses.objectives import settle, weighted
    from tinyclip.model.clip import Features

    def drawn(seed: int) -> Features:
        draw = torch.Generator().manual_seed(seed)
        rows = [torch.randn(batch, width, generator=draw) for _ in range(2)]
        image, text = (torch.nn.functional.normalize(one, dim=-1) for one in rows)
        return Features(image, text, torch.tensor(50.0))

    mine, theirs = drawn(0), drawn(1)
    for leaf in (mine.image_BE, mine.text_BE, mine.scale):
        leaf.requires_grad_()

    def seconds(which: str) -> float:
        asked = settle({which: 1.0}, Place(path="losses"))
        built = tuple(one.built(width, width, seed=0) for one in asked)
        began = time.process_time()
        weighted(built, mine, theirs)[0].backward()
        return time.process_time() - began

    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    own = seconds(name)
    peak = (memory("VmHWM") - before) / MIB
    turns = [(seconds(BASELINE), seconds(name)) for _ in range(rounds)]
    ratio = statistics.median(b / a for a, b in turns) if turns else None
    own = statistics.median(b for _, b in turns) if turns else own
    return {"seconds": own, "of_mimic": ratio, "peak_mib": peak}  # type: ignore[dict-item]


def memory(what: str) -> int:
    """What the system says of this process, in bytes: `VmRSS`, `VmHWM`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{what}:")]
    return int(line.split()[1]) * 1024


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batches", default="1024", help="with commas between them")
    parser.add_argument("--width", type=int, default=512, help="of the embedding")
    parser.add_argument("--names", help="objectives; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="0: memory alone")
    parser.add_argument("--quick", action="store_true", help="small, seconds")
    args = parser.parse_args()
    if args.quick:
        args.batches, args.width, args.rounds = "64", 16, 1
        args.names = args.names or "mimic,gd,afd"
    return args


def main() -> None:
    """Measure, and print JSON."""
    args = options()
    import torch

    from tinyclip.losses import objectives

    names = args.names.split(",") if args.names else list(objectives)
    # sigmoid is for another kind of teacher; what others need are passes of the towers
    names = [n for n in names if n != "sigmoid" and n not in objectives.needs]
    rows: list[dict[str, Any]] = []
    apart = multiprocessing.get_context("spawn")
    for batch in map(int, args.batches.split(",")):
        for name in names:
            with ProcessPoolExecutor(1, apart) as pool:
                how = (name, batch, args.width, args.rounds)
                found = pool.submit(cost, *how).result()
            rows.append({"name": name, "batch": batch, **found})
            print(rows[-1], file=sys.stderr)
    report = {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "width": args.width,
        "rows": rows,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
