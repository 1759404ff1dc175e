"""Kill a pico run over and over, resume it, and compare it with one that lived.

    python benchmarks/kill.py --random 100 --points all
    python benchmarks/kill.py --random 0 --points 0 --launched 5
    python benchmarks/kill.py --quick

Two ways to die, both by SIGKILL: at random moments, and at every single flush of a file
to disk (its content torn in the middle, or whole and not yet in its place, or just put
there). After each death the run is resumed until it is done; its weights must be byte
for byte, and its metrics but for their clocks, those of a run that nobody killed.
`--launched` kills runs of two processes (torchrun, gloo), whole launches at a time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

PICO = (
    "stages[*].learn.steps=4",
    "stages[*].distil.steps=4",
    "stages[*].batch=8",
    "checkpoint_every=2",
    "log_every=1",
    "evaluate=false",
    "cache_teacher=never",
)
DONE = 0


def recipe_of(extra: list[str]) -> Recipe:
    return load_recipe("smoke", (*PICO, *extra))


def in_child(work: Callable[[], None]) -> int:
    """Start `work` in a process of its own; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        logging.disable(logging.WARNING)
        import torch

        torch.set_num_threads(1)
        work()
    except BaseException as error:
        print(f"child: {type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(DONE)


def attempt(out: Path, recipe: Recipe, redo: int | None = None) -> None:
    """Begin the run or go on with it; one that is done is redone from stage `redo`."""
    run = RunDir(out)
    if redo is not None and run.is_done(recipe):
        execute(Request(out, from_stage=redo))
        return
    begun = run.is_run()
    execute(Request(out, None if begun else recipe, resume=begun))


def killed_at_random(
    out: Path,
    recipe: Recipe,
    longest_life: float,
    draw: random.Random,
    most_kills: int,
    redo: int | None = None,
) -> int:
    """Run to the end, killing at random moments; returns how often."""
    kills = 0
    while True:
        child = in_child(lambda: attempt(out, recipe, redo))
        if kills < most_kills:
            time.sleep(draw.uniform(0.0, longest_life))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills += 1
        elif os.WEXITSTATUS(status) == DONE:
            return kills
        else:
            raise SystemExit("a resumed run failed")


def counted(out: Path, recipe: Recipe) -> int:
    """Run to the end without harm; returns how many flushes there were."""
    flushes, fsync, count_file = 0, os.fsync, out.with_suffix(".flushes")

    def count(handle: int) -> None:
        nonlocal flushes
        flushes += 1
        fsync(handle)

    def work() -> None:
        os.fsync = count
        attempt(out, recipe)
        count_file.write_text(str(flushes))

    if os.waitpid(in_child(work), 0)[1]:
        _failed()
    return int(count_file.read_text())


def dying_at(flush: int, torn: bool) -> None:
    """Make this process die at its so-many-th flush to disk."""
    flushes, fsync = 0, os.fsync

    def fatal(handle: int) -> None:
        nonlocal flushes
        if flushes == flush:
            if torn and stat.S_ISREG(os.fstat(handle).st_mode):
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        flushes += 1
        fsync(handle)

    os.fsync = fatal


def killed_at_flush(out: Path, recipe: Recipe, flush: int, torn: bool) -> bool:
    """Die at one flush, twice in a row, then finish; False if there is none so late."""

    def doomed() -> None:
        dying_at(flush, torn)
        attempt(out, recipe)

    for _ in range(2):
        status = os.waitpid(in_child(doomed), 0)[1]
        if not os.WIFSIGNALED(status):
            return False if os.WEXITSTATUS(status) == DONE else _failed()
        flush = min(flush, 3)  # soon after the resume
    status = os.waitpid(in_child(lambda: attempt(out, recipe)), 0)[1]
    return True if os.waitstatus_to_exitcode(status) == DONE else _failed()


def _failed() -> bool:
    raise SystemExit("a resumed run failed")


def launch(out: Path, sets: list[str]) -> subprocess.Popen[bytes]:
    """Begin a run of two processes, or go on with it."""
    settings = [word for setting in (*PICO, *sets) for word in ("--set", setting)]
    words = ["--resume"] if RunDir(out).is_run() else ["smoke", *settings]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    return subprocess.Popen(
        [sys.executable, "-m", *torchrun, "tinyclip", "compress", *words]
        + ["--no-report", "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_launch(out: Path) -> None:
    """Kill every process that works on a run, the launcher too, at once."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if str(out).encode() in line.split(b"\0"):
            os.kill(int(folder.name), signal.SIGKILL)


def _launched(
    kill_count: int, folder: Path, sets: list[str], draw: random.Random
) -> dict[str, Any]:
    """Kill launches of two processes at random moments."""
    whole, out, kills = folder / "whole-2", folder / "run-2", 0
    began = time.monotonic()
    if launch(whole, sets).wait():
        _failed()
    duration = time.monotonic() - began
    while kills < kill_count:
        child = launch(out, sets)
        try:
            child.wait(draw.uniform(0.3, 1.0) * duration)
        except subprocess.TimeoutExpired:
            kill_launch(out)
            child.wait()
            kills += 1
            continue
        break  # it was through before its time came
    if not RunDir(out).is_done(recipe_of(sets)) and launch(out, sets).wait():
        _failed()
    same = what_is_left(out) == what_is_left(whole)
    return {"launched_kills": kills, "launched_identical": same}


def what_is_left(out: Path) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Weights and timeless metrics of a finished run."""
    run = RunDir(out)
    folders = [*(f.model for f in run.stages(run.recipe())), run.model]
    lines = [
        {key: value for key, value in record.items() if key != "seconds"}
        for record in run.metrics.records()
    ]
    return [(f / "model.safetensors").read_bytes() for f in folders], lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few kills, seconds")
    quick = "--quick" in sys.argv
    add = parser.add_argument
    add("--random", type=int, default=1 if quick else 100, help="kills at random")
    add("--points", default="1" if quick else "all", help="flushes to die at: all or N")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=V")
    parser.add_argument("--redo", type=int, default=0, help="kills a redone stage")
    parser.add_argument("--launched", type=int, default=0, help="two processes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    recipe, draw = recipe_of(args.set), random.Random(args.seed)
    report: dict[str, Any] = {"settings": [*PICO, *args.set], "seed": args.seed}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        began = time.monotonic()
        flushes = counted(whole, recipe)
        duration = time.monotonic() - began
        expected = what_is_left(whole)
        report |= _at_random(args.random, folder, recipe, duration, draw, expected)
        report |= _at_points(args.points, flushes, folder, recipe, expected)
        for stage in range(1, len(recipe.stages) + 1) if args.redo else ():
            out = folder / "redone"
            shutil.copytree(whole, out)
            killed_at_random(out, recipe, 0.8 * duration, draw, args.redo, stage)
            report[f"redone_from_{stage}_identical"] = what_is_left(out) == expected
            report["identical"] &= report[f"redone_from_{stage}_identical"]
            shutil.rmtree(out)
        if args.launched:
            report |= _launched(args.launched, folder, args.set, draw)
            report["identical"] &= report["launched_identical"]
    print(json.dumps(report, indent=2))
    if not report["identical"]:
        raise SystemExit(1)


def _at_random(
    kill_count: int,
    folder: Path,
    recipe: Recipe,
    duration: float,
    draw: random.Random,
    expected: Any,
) -> dict[str, Any]:
    kills = runs = same = 0
    while kills < kill_count:
        out = folder / "run"
        kills += killed_at_random(out, recipe, 0.8 * duration, draw, kill_count - kills)
        runs += 1
        same += what_is_left(out) == expected
        shutil.rmtree(out)
        print(f"{kills} kills, {same} of {runs} runs identical", file=sys.stderr)
    return {
        "random_kills": kills,
        "random_runs": runs,
        "random_identical": same,
        "identical": same == runs,
    }


def _at_points(
    points: str, flushes: int, folder: Path, recipe: Recipe, expected: Any
) -> dict[str, Any]:
    count = flushes if points == "all" else min(int(points), flushes)
    same = 0
    for tried in range(count):
        out = folder / "run"
        flush = tried * flushes // count
        if not killed_at_flush(out, recipe, flush, torn=tried % 2 == 0):
            raise SystemExit(f"flush {flush} of {flushes} did not come")
        same += what_is_left(out) == expected
        shutil.rmtree(out)
        print(f"flush {flush}: {same} of {tried + 1} identical", file=sys.stderr)
    result = {"flushes": flushes, "died_at": count, "died_identical": same}
    return result if same == count else {**result, "identical": False}


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
