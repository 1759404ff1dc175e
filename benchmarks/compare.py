"""Ours against one stage, magnitude pruning and training from scratch, at 25 %.

    python benchmarks/compare.py --samples 96000 --out benchmarks/results/compare.json

All four students see the same number of pictures with the same batch, teacher and
distillation objectives, one after the other in one process; prints JSON. Choices are
made on `dev`; `designer` is the held-out designer that the table shows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from tinyclip.config.load import load_recipe, rebuild_ladder
from tinyclip.config.schema import Recipe, Stage
from tinyclip.files import read_json
from tinyclip.model.clip import Clip
from tinyclip.model.store import load_model
from tinyclip.pipeline.context import RunContext
from tinyclip.pipeline.plan import chain
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import Silent, execute, open_engine
from tinyclip.pipeline.stage import run_stage
from tinyclip.pipeline.stage_context import StageContext
from tinyclip.shapes import ClipShape

LEARNING = 0.4  # share of a stage's steps in which masks are learned
LAST = 0.4  # share of all steps that the last of several stages gets


def with_steps(stage: Stage, steps: int, phases: tuple[str, ...]) -> Stage:
    """A stage that trains for so many steps altogether."""
    learn = round(LEARNING * steps) if "learn" in phases else 0
    return replace(
        stage,
        phases=phases,  # type: ignore[arg-type]
        learn=replace(stage.learn, steps=max(1, learn)),
        distil=replace(stage.distil, steps=steps - learn),
    )


def contenders(base: Recipe, samples: int) -> dict[str, Recipe]:
    """The recipes that are compared, each of the same number of samples."""
    batch = base.stages[0].batch
    steps = samples // batch
    full = ("learn", "inherit", "distil")

    def recipe(stages: int, phases: tuple[str, ...]) -> Recipe:
        ladder = rebuild_ladder(base, 0.25, stages)
        early = round((1 - LAST) * steps / max(1, stages - 1))
        each = [early] * (stages - 1)
        each.append(steps - sum(each))
        return replace(
            ladder,
            stages=tuple(
                with_steps(stage, count, phases)
                for stage, count in zip(ladder.stages, each, strict=True)
            ),
        )

    magnitude = recipe(1, ("score", "inherit", "distil"))
    stage = magnitude.stages[0]
    scored = replace(stage, score=replace(stage.score, importance="magnitude"))
    return {
        "ours, 3 stages": recipe(3, full),
        "ours, 1 stage": recipe(1, full),
        "magnitude (Torch-Pruning), 1 stage": replace(magnitude, stages=(scored,)),
    }


def share_teacher(first: RunDir, run: RunDir, recipe: Recipe) -> None:
    """Begin a run with the teacher's features and figures of the first one."""
    run.begin(recipe)
    shutil.copy(first.teacher_cache, run.teacher_cache)
    run.write("teacher.json", first.read("teacher.json"))


def from_scratch(recipe: Recipe, shape: ClipShape, steps: int, out: Path) -> Path:
    """The same shape with random weights under the same distillation."""
    stage = with_steps(recipe.stages[0], steps, ("distil",))
    recipe = replace(recipe, stages=(stage,))
    run = RunDir(out)
    share_teacher(RunDir(out.parent / "0"), run, recipe)
    engine = open_engine(run, recipe)
    context = RunContext.open(recipe, run, engine, Silent(), lambda: False)
    chained = chain(recipe, context.fingerprints())[0]
    folder = run.stages(recipe)[0]
    student = Clip(shape).init_weights(recipe.seed)
    with torch.no_grad():
        student.logit_scale.copy_(context.teacher.model.logit_scale)
    run_stage(StageContext.of(context, stage, 0.25, folder, chained), student, 0)
    return folder.model


def row(name: str, model: Path, seconds: float) -> dict[str, Any]:
    """What one contender came to."""
    config = read_json(model / "config.json")
    tasks = read_json(model / "metrics.json")["tasks"]
    return {
        "name": name,
        "share_encoder": config["share"]["encoder"],
        "samples": config["provenance"]["samples"],
        "seconds": round(seconds),
        "tasks": {
            key: {k: task[k] for k in ("value", "ci95", "n", "teacher", "retention")}
            for key, task in tasks.items()
        },
    }


def compare(base: Recipe, samples: int, folder: Path) -> list[dict[str, Any]]:
    """Run every contender, one after the other."""
    rows = []
    recipes = contenders(base, samples)
    for number, (name, recipe) in enumerate(recipes.items()):
        print(f"{name} ...", file=sys.stderr, flush=True)
        if number:
            share_teacher(RunDir(folder / "0"), RunDir(folder / str(number)), recipe)
        began = time.perf_counter()
        run = execute(Request(folder / str(number), recipe, resume=number > 0))
        rows.append(row(name, run.model, time.perf_counter() - began))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    ours = load_model(folder / "0" / "model").model.shape
    steps = samples // base.stages[0].batch
    began = time.perf_counter()
    one_stage = recipes["ours, 1 stage"]
    model = from_scratch(one_stage, ours, steps, folder / "scratch")
    seconds = time.perf_counter() - began
    rows.append(row("same shape from scratch + distillation", model, seconds))
    return rows


def main() -> None:
    """Parse the options, compare, print and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=96_000)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument(
        "--keep", type=Path, help="where the runs stay; default: nowhere"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    base = load_recipe(args.recipe, args.set)
    with tempfile.TemporaryDirectory() as scratch:
        rows = compare(base, args.samples, args.keep or Path(scratch))
    found = {
        "date": date.today().isoformat(),
        "threads": torch.get_num_threads(),
        "teacher": base.teacher,
        "samples": args.samples,
        "rows": rows,
    }
    text = json.dumps(found, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
