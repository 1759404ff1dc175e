"""What a training step costs with each objective and strategy, beside one with `mimic`.

    python benchmarks/step_cost.py
    python benchmarks/step_cost.py --names mfd,tat --batch 64
    python benchmarks/step_cost.py --quick

`objective_cost.py` times values of random features; here are the towers' passes, what
is provided beside features, and the teacher where it runs at every step. A student as
large as the embedded teacher learns from its cached features. Seconds are the
processor's, the median of steps that take turns with those of `mimic`; memory is what a
process of its own takes at most beyond what stood before the steps. Strategies are
beside `mimic`.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from objective_cost import BASELINE, MIB, memory

ELSEWHERE = ("sigmoid",)  # for another kind of teacher


def losses_of(name: str) -> dict[str, Any]:
    """The settings of a phase that learns by one objective or strategy."""
    from tinyclip.training.strategies import strategies

    if name in strategies:
        return {"losses": {BASELINE: 1.0}, "strategies": {name: {}}}
    return {"losses": {name: 1.0}, "strategies": {}}


def stepper(name: str, teacher: str, batch: int, folder: Path) -> Callable[[], float]:
    """What takes a step of a phase that learns so, and tells its seconds."""
    from comparison.job import Job

    from tinyclip.config.load import load_recipe
    from tinyclip.pipeline.handover import Progress
    from tinyclip.pipeline.phases.distil import DistilPhase
    from tinyclip.pipeline.run_dir import RunDir
    from tinyclip.training.step import backward

    sets = (f"teacher={teacher}", f"data.limit={4 * batch}", "evaluate=false")
    recipe = load_recipe("one-stage", sets)
    stage = replace(recipe.stages[0], batch=batch, phases=("distil",), target=1.0)
    distil = replace(stage.distil, steps=10**6, **losses_of(name))
    recipe = replace(recipe, stages=(replace(stage, distil=distil),))
    run = RunDir(folder)
    run.make()
    job = Job(run, recipe, lambda: False)
    context = job.context()
    (within,) = job.stages(context)
    progress = Progress(copy.deepcopy(context.base.model), 0)
    offered = within.offered(progress, distil)
    how = within.student(progress), offered, within.beside(distil)
    phase = DistilPhase(progress.model, offered.teacher, context.engine, distil, *how)
    numbers = itertools.count()

    def step() -> float:
        number = next(numbers)
        pairs = phase.draw(context.loader(batch), 0, number)
        began = time.process_time()
        backward(phase, pairs, number, context.engine, 1)
        context.engine.update(phase.optimizer)
        phase.after()
        return time.process_time() - began

    return step


def cost(name: str, teacher: str, batch: int, rounds: int) -> dict[str, Any]:
    """One objective in this process: seconds of a step, those of the baseline in the
    same rounds, and peak MiB."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        own = stepper(name, teacher, batch, Path(folder) / "own")
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        own(), own()  # the second has moments, and is as all that follow
        peak = (memory("VmHWM") - before) / MIB
        base = stepper(BASELINE, teacher, batch, Path(folder) / "base")
        base(), base()
        turns = [(base(), own()) for _ in range(rounds)]
    return {
        "seconds": statistics.median(b for _, b in turns),
        "of_mimic": statistics.median(b / a for a, b in turns),
        "peak_mib": peak,
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", help="objectives and strategies; default: all")
    parser.add_argument("--teacher", default="builtin:pictoclip")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small, seconds")
    args = parser.parse_args()
    if args.quick:
        args.teacher, args.batch, args.rounds = "builtin:pico", 8, 1
        args.names = args.names or "mimic,mfd,dlb"
    return args


def main() -> None:
    """Measure, and print JSON."""
    args = options()
    import torch

    from tinyclip.losses import objectives
    from tinyclip.training.strategies import strategies

    every = [*objectives, *strategies]
    names = args.names.split(",") if args.names else every
    rows: list[dict[str, Any]] = []
    apart = multiprocessing.get_context("spawn")
    for name in names:
        if name in ELSEWHERE:
            continue
        with ProcessPoolExecutor(1, apart) as pool:
            how = (name, args.teacher, args.batch, args.rounds)
            rows.append({"name": name, **pool.submit(cost, *how).result()})
        print(rows[-1], file=sys.stderr, flush=True)
    report = {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": 1,
        "teacher": args.teacher,
        "batch": args.batch,
        "rows": rows,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
