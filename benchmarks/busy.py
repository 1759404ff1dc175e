"""What training costs beside another process, with threads that spin and that sleep.

    python benchmarks/busy.py --out busy.json
    python benchmarks/busy.py --quick

Four cells, in turn, several times over (`--waiting` adds others): the machine idle or
with one neighbour that computes without end, and OpenMP's threads as the library has
them (they spin for a while after every operation) or as tinyclip asks for (they sleep).
A cell is the demo's first steps in a process of their own, killed when enough of them
are seen; its teacher runs at every step, so that the run need not begin with all of its
features. Prints one JSON object. To be run on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from tinyclip import cpus
from tinyclip.config.load import load_recipe

SETTINGS = (
    "cache_teacher=never",
    "evaluate=false",
    "log_every=1",
    "checkpoint_every=100000",
    "stages[*].learn.steps=10000",
)
# The libraries' own defaults: a value that GNU's OpenMP does not look at and that is
# Intel's default keeps tinyclip from asking for anything
AS_IT_COMES = {"KMP_BLOCKTIME": "200"}
WAITING: dict[str, dict[str, str]] = {
    "default": AS_IT_COMES,
    "brief": {},  # as tinyclip asks for: spins a hundredth of the default
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
NEIGHBOUR = "while True: pass"
POLL = 0.05  # seconds


@dataclass(frozen=True)
class Cell:
    """One way to train."""

    busy: bool
    waiting: str

    @property
    def name(self) -> str:
        return f"{'busy' if self.busy else 'idle'} {self.waiting}"


def cells(waitings: Sequence[str]) -> list[Cell]:
    return [Cell(busy, waiting) for busy in (False, True) for waiting in waitings]


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Other processes at work while the block runs."""
    processes = [
        subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Effort:
    """How much of a run is looked at.

    Args:
        steps: that are measured, after `warm` others.
        seconds: after the first step, at which fewer steps are enough.
    """

    recipe: str
    steps: int
    warm: int
    seconds: float


def step_seconds(metrics: Path) -> list[float]:
    """How long each step after the first one took."""
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    whole = [line for line in lines if line.endswith("}")]
    clock = [json.loads(line)["seconds"] for line in whole]
    return [after - before for before, after in pairwise(clock)]


def watched(child: subprocess.Popen[bytes], metrics: Path, effort: Effort) -> bool:
    """Wait until enough steps are seen; False when the process ends before."""
    first = None
    while child.poll() is None:
        durations = step_seconds(metrics)
        if len(durations) >= effort.warm + effort.steps:
            return True
        if durations and first is None:
            first = time.monotonic()
        over_time = first is not None and time.monotonic() - first > effort.seconds
        if over_time and len(durations) > effort.warm:
            return True
        time.sleep(POLL)
    return False


def pairs_a_second(cell: Cell, effort: Effort, count: int) -> dict[str, float]:
    """The speed of one run.

    Raises:
        SystemExit: the run ended by itself.
    """
    batch = load_recipe(effort.recipe).stages[0].batch
    environment = {k: v for k, v in os.environ.items() if k not in cpus.WAITING}
    words = ["compress", effort.recipe, "--no-report"]
    words += [word for setting in SETTINGS for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "run", Path(folder) / "log"
        with log.open("wb") as file, neighbours(count if cell.busy else 0):
            child = subprocess.Popen(
                [sys.executable, "-m", "tinyclip", *words, "--out", str(out)],
                env={**environment, **WAITING[cell.waiting]},
                stdout=file,
                stderr=file,
            )
            try:
                enough = watched(child, out / "metrics.jsonl", effort)
            finally:
                child.kill()
                child.wait()
        if not enough:
            raise SystemExit(f"{cell.name}: the run ended\n{log.read_text()}")
        durations = step_seconds(out / "metrics.jsonl")[effort.warm :]
        threads = json.loads((out / "environment.json").read_text())["threads"]
    return {
        "pairs_per_second": batch / statistics.median(durations),
        "steps": len(durations),
        "threads": threads,
    }


def ratios(rounds: list[dict[str, Any]], waitings: Sequence[str]) -> dict[str, Any]:
    """Medians of each cell, and of the ratios inside each round."""

    def speed(speeds: dict[str, Any], busy: bool, waiting: str) -> float:
        return float(speeds[Cell(busy, waiting).name]["pairs_per_second"])

    def median(values: Iterator[float]) -> float:
        return round(statistics.median(values), 4)

    return {
        "pairs_per_second": {
            cell.name: median(
                speed(speeds, cell.busy, cell.waiting) for speeds in rounds
            )
            for cell in cells(waitings)
        },
        "over_default": {
            waiting: {
                name: median(
                    speed(speeds, busy, waiting) / speed(speeds, busy, "default")
                    for speeds in rounds
                )
                for name, busy in (("idle", False), ("busy", True))
            }
            for waiting in waitings
        },
        "busy_over_idle": {
            waiting: median(
                speed(speeds, True, waiting) / speed(speeds, False, waiting)
                for speeds in rounds
            )
            for waiting in waitings
        },
    }


def measure(
    effort: Effort, rounds: int, neighbour_count: int, waitings: Sequence[str]
) -> dict[str, Any]:
    """Every cell in every round; every other round backwards."""
    finished = []
    for number in range(rounds):
        speeds = {}
        order = cells(waitings)
        for cell in order if number % 2 == 0 else reversed(order):
            speeds[cell.name] = pairs_a_second(cell, effort, neighbour_count)
            speed = speeds[cell.name]["pairs_per_second"]
            line = f"round {number + 1}, {cell.name}: {speed:.1f} pairs a second"
            print(line, file=sys.stderr, flush=True)
        finished.append(speeds)
    return {
        "date": date.today().isoformat(),
        "cpus": cpus.usable(),
        "neighbours": neighbour_count,
        **asdict(effort),
        "rounds": finished,
        **ratios(finished, waitings),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="a pico teacher, one round, seconds")
    add("--rounds", type=int, default=4)
    add("--neighbours", type=int, default=1)
    add("--steps", type=int, default=12, help="that are measured in each cell")
    add("--seconds", type=float, default=40.0, help="after which fewer are enough")
    add("--waiting", default="default,brief", help=f"of {', '.join(WAITING)}")
    add("--out", type=Path, help="write the JSON here too")
    args = parser.parse_args()
    effort = Effort("learned", args.steps, 2, args.seconds)
    if args.quick:
        effort, args.rounds = Effort("smoke", 3, 1, 2.0), 1
    report = measure(effort, args.rounds, args.neighbours, args.waiting.split(","))
    text = json.dumps(report, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
