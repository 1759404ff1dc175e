"""Ours against one stage, magnitude pruning and training from scratch, at 25 %.

    python benchmarks/compare.py --samples 80000 --seeds 0 --out compare.json
    python benchmarks/compare.py --quick
    python benchmarks/compare.py --table compare.json

Every student sees the same number of pictures with the same batch, teacher, objectives
and seed. A cell is one student of one seed; a comparison that was killed goes on with
the same command, and cells that are finished are kept (`--work`). What comes out is one
JSON object; choices are made on `dev`, `designer` is the held-out designer.

`seconds` are those of training and cutting: the teacher's features are made before the
first cell, and students are measured after their run. A cell of more than one attempt
tells the seconds of its last.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from compare_table import summary, table

from tinyclip.config.load import (
    fingerprint,
    load_recipe,
    rebuild_ladder,
    recipe_to_dict,
)
from tinyclip.config.schema import Recipe, Stage
from tinyclip.data.tasks import tasks_of
from tinyclip.errors import Interrupted, UserError
from tinyclip.evaluation.suite import evaluate, values_of
from tinyclip.files import make_folder, read_json, write_json
from tinyclip.formats.source import load_source
from tinyclip.model.clip import Clip
from tinyclip.model.store import load_model
from tinyclip.pipeline.context import RunContext
from tinyclip.pipeline.plan import stage_fingerprints
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import Silent, execute, listening, open_engine
from tinyclip.pipeline.stage import run_stage
from tinyclip.pipeline.stage_context import StageContext

TARGET = 0.25
LEARNING = 0.4  # share of a stage's steps in which masks are learned
LAST = 0.4  # share of all steps that the last of several stages gets
OURS, ONE = "ours, 3 stages", "ours, 1 stage"
BASELINE = "magnitude (Torch-Pruning), 1 stage"
SCRATCH = "same shape from scratch + distillation"
FOLDERS = {OURS: "ours-3", ONE: "ours-1", BASELINE: "magnitude", SCRATCH: "scratch"}
KEPT = ("value", "ci95", "n", "teacher", "retention")  # of a task's result
QUICK = (  # a random pico teacher, and no drawings to train on but few clip-arts
    "data.exclude=['emoji/fluent*', 'emoji/noto*', 'clipart/[d-z]*', 'clipart/co*']",
    "cache_teacher=always",
    "checkpoint_every=3",
)
QUICK_SAMPLES = 10 * 16


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
    """The recipes that are compared, each of the same number of samples.

    That of `SCRATCH` has no start of its own yet: `from_scratch` gives it one.
    """
    steps = samples // base.stages[0].batch
    learned = ("learn", "inherit", "distil")

    def recipe(stages: int, phases: tuple[str, ...]) -> Recipe:
        ladder = rebuild_ladder(base, TARGET, stages)
        earlier_steps = round((1 - LAST) * steps / max(1, stages - 1))
        steps_by_stage = [earlier_steps] * (stages - 1)
        steps_by_stage.append(steps - sum(steps_by_stage))
        pairs = zip(ladder.stages, steps_by_stage, strict=True)
        trained = tuple(with_steps(stage, count, phases) for stage, count in pairs)
        return replace(ladder, stages=trained)

    magnitude = recipe(1, ("score", "inherit", "distil"))
    stage = magnitude.stages[0]
    scored = replace(stage, score=replace(stage.score, importance="magnitude"))
    return {
        OURS: recipe(3, learned),
        ONE: recipe(1, learned),
        BASELINE: replace(magnitude, stages=(scored,)),
        SCRATCH: recipe(1, ("distil",)),
    }


class Comparison:
    """A folder of cells, each a run and, once it is finished, its row.

    Args:
        base: teacher, data and what all students have in common.
        samples: pictures that each student sees.
        folder: where everything lies.
        stop: whether to stop.

    Raises:
        UserError: the folder holds a comparison of something else.
    """

    def __init__(
        self, base: Recipe, samples: int, folder: Path, stop: Callable[[], bool]
    ) -> None:
        self.base = replace(base, evaluate=False)
        self.samples, self.folder, self.stop = samples, folder, stop
        make_folder(folder)
        content = fingerprint({"of": recipe_to_dict(self.base), "samples": samples})
        mark = folder / "comparison.json"
        if not mark.exists():
            write_json(mark, {"fingerprint": content})
        elif read_json(mark)["fingerprint"] != content:
            raise UserError(
                str(folder),
                "holds a comparison of other settings",
                "Name another folder with --work, or remove it",
            )
        # the tests are all there, whatever is left out of training
        self.tasks = tasks_of(replace(base.data, exclude=()))

    def rows(self, seeds: Iterable[int]) -> list[dict[str, Any]]:
        """Every cell, those that are not there yet made now."""
        return [self._cell(seed, name) for seed in seeds for name in FOLDERS]

    def teacher(self) -> dict[str, float]:
        """The teacher's value of each task, measured once."""
        path = self.folder / "teacher.json"
        if not path.exists():
            tasks = evaluate(load_source(self.base.teacher), self.tasks)
            write_json(path, values_of(tasks))
        return dict(read_json(path))

    def _cell(self, seed: int, name: str) -> dict[str, Any]:
        place = self.folder / f"seed-{seed}" / FOLDERS[name]
        finished = place.with_suffix(".json")
        if finished.exists():
            return dict(read_json(finished))
        print(f"seed {seed}: {name} ...", file=sys.stderr, flush=True)
        recipe = contenders(replace(self.base, seed=seed), self.samples)[name]
        run = RunDir(place)
        self._prepare(run, recipe)
        attempts = (run.read("attempts.json") or 0) + 1
        run.write("attempts.json", attempts)
        began = time.perf_counter()
        if name == SCRATCH:
            model = self._from_scratch(run, recipe)
        else:
            model = execute(Request(place, resume=True), stop=self.stop).model
        seconds = round(time.perf_counter() - began, 1)
        row = self._row(model)
        row |= {"name": name, "seed": seed, "seconds": seconds, "attempts": attempts}
        write_json(finished, row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        return row

    def _prepare(self, run: RunDir, recipe: Recipe) -> None:
        """Begin a run with the teacher's features that all of its seed share."""
        if run.is_run():
            return
        shared = RunDir(run.path.parent / "teacher")
        shared.make()
        context = self._context(shared, recipe)
        if context.caching() and not shared.teacher_cache.exists():
            context.loader(recipe.stages[0].batch)
            context.teacher_for(None)
        run.make()
        if context.caching():
            shutil.copy(shared.teacher_cache, run.teacher_cache)
        run.begin(recipe)  # last: what is begun has its features

    def _context(self, run: RunDir, recipe: Recipe) -> RunContext:
        engine = open_engine(run, recipe)
        return RunContext.open(recipe, run, engine, Silent(), self.stop)

    def _from_scratch(self, run: RunDir, recipe: Recipe) -> Path:
        """The shape of our own student, random weights, the same distillation."""
        shape = load_model(run.path.parent / FOLDERS[OURS] / "model").model.shape
        context = self._context(run, recipe)
        student = Clip(shape).init_weights(recipe.seed)
        student.logit_scale.data.copy_(context.teacher.model.logit_scale.data)
        stage_fingerprint = stage_fingerprints(recipe, context.fingerprints())[0]
        folder, stage = run.stages(recipe)[0], recipe.stages[0]
        stage_context = StageContext.of(
            context, stage, TARGET, folder, stage_fingerprint
        )
        run_stage(stage_context, student, 0)
        return folder.model

    def _row(self, model: Path) -> dict[str, Any]:
        """What a student came to."""
        loaded = load_model(model)
        tasks = evaluate(loaded, self.tasks, self.teacher())
        return {
            "share_encoder": loaded.config["share"]["encoder"],
            "samples": loaded.config["provenance"]["samples"],
            "tasks": {
                name: {key: task[key] for key in KEPT} for name, task in tasks.items()
            },
        }


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the options ask for."""
    import torch  # after tinyclip, which says how its threads wait

    base = load_recipe(args.recipe, [*(QUICK if args.quick else ()), *args.set])
    with listening() as stop:
        comparison = Comparison(base, args.samples, args.work, stop)
        rows = comparison.rows(args.seeds)
        teacher = comparison.teacher()
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "teacher": base.teacher,
        "teacher_values": teacher,
        "baseline": BASELINE,
        "samples": args.samples,
        "seeds": args.seeds,
        "rows": rows,
        "summary": summary(rows, BASELINE),
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--samples", type=int, help="pictures that each student sees; default 80000")
    add("--seeds", default="0", help="numbers with commas between them")
    add("--recipe", help="what all have in common; default: demo")
    add("--set", action="append", default=[], metavar="A.B=V")
    add("--work", type=Path, help="where cells lie; default: runs/compare")
    add("--out", type=Path, help="write the JSON here too")
    add("--quick", action="store_true", help="a pico teacher, seconds")
    add("--table", type=Path, metavar="JSON", help="print the table of a comparison")
    args = parser.parse_args()
    args.seeds = [int(word) for word in args.seeds.split(",")]
    quick = args.quick
    args.recipe = args.recipe or ("smoke" if quick else "demo")
    args.samples = args.samples or (QUICK_SAMPLES if quick else 80_000)
    args.work = args.work or Path("runs") / ("compare-quick" if quick else "compare")
    return args


def main() -> None:
    """Parse the options, compare, print and write JSON."""
    args = options()
    if args.table:
        print(table(read_json(args.table), BASELINE))
        return
    try:
        report = compare(args)
    except Interrupted as stopped:
        raise SystemExit(f"{stopped.what}. The same command goes on") from None
    except UserError as error:
        raise SystemExit(str(error)) from None
    print(json.dumps(report, indent=1))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
