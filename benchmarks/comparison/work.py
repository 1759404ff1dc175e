"""The folder of a comparison: each cell a run that is kept, and its row.

    WORK/comparison.json         what all cells have in common
    WORK/teacher.json            the teacher's answers
    WORK/features/DATA-SEED/     the teacher's features, made once for all methods
    WORK/cells/METHOD/CELL/run/  the run
    WORK/cells/METHOD/CELL/row.json   what came of it, last

Several processes may work in one folder: a cell is claimed by a lock that goes when its
process does.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinyclip.config.load import fingerprint, recipe_to_dict
from tinyclip.config.schema import Recipe
from tinyclip.config.setting import without_later
from tinyclip.errors import UserError
from tinyclip.evaluation.features import Encoder
from tinyclip.files import make_folder, read_json, write_json
from tinyclip.formats.source import load_source
from tinyclip.model.store import load_model
from tinyclip.pipeline.run_dir import RunDir

from .cells import Cell, Search
from .job import Job
from .measured import (
    Hits,
    Measured,
    encoder_of,
    figures,
    packed,
    unpacked,
    with_unshown,
)
from .methods import Method

POLL = 1.0  # seconds
Row = dict[str, Any]


@contextmanager
def claimed(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Own a folder while the block runs, if no other process does.

    Args:
        wait: for the other process.
    """
    make_folder(folder)
    with (folder / "claim").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def print_of(recipe: Recipe) -> str:
    """A fingerprint of all that a recipe says: of phases that run every setting, for a
    default that changes changes them; a phase that came later and does not run leaves
    kept cells what they were."""
    whole = recipe_to_dict(recipe)
    said = without_later(Recipe, whole)
    for stage, full in zip(said["stages"], whole["stages"], strict=True):
        stage.update({n: full[n] for n in full["phases"] if n in full})
    return fingerprint(said)


def step_seconds(run: RunDir) -> float:
    """How long a run's steps took, all phases together."""
    path = run.path / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    longest = {(r["stage"], r["phase"]): float(r["seconds"]) for r in records}
    return sum(longest.values())


@dataclass
class Work:
    """What is done and kept.

    Args:
        base: teacher, data and settings that all cells have in common.
        search: where learning rates are chosen.
        methods: by their keys.
        stop: whether to stop.
        until: when no more cells are begun, by `time.monotonic`.
    """

    base: Recipe
    folder: Path
    search: Search
    methods: Mapping[str, Method]
    stop: Callable[[], bool]
    until: float | None = None

    def open(self) -> None:
        """Make the folder.

        Raises:
            UserError: it holds a comparison of something else.
        """
        make_folder(self.folder)
        content = {"base": self.mark(self.base)}
        mark = self.folder / "comparison.json"
        if not mark.exists():
            write_json(mark, content)
        elif read_json(mark) != content:
            raise UserError(
                str(self.folder),
                "holds a comparison of other settings",
                "Name another folder with --work, or remove it",
            )
        self.measured = Measured(self.base)
        self._unshown: dict[str, Hits | None] = {}

    def mark(self, recipe: Recipe) -> str:
        """What tells a cell from one of the same name with other settings."""
        return print_of(recipe)

    def rows(self, cells: Sequence[Cell]) -> list[Row]:
        """The row of every cell, those that are not there yet made now; when the time
        is over, of those that are there.

        One that another process makes is waited for.
        """
        self.teacher()  # before the first cell, which it is no part of
        found: dict[Cell, Row] = {}
        while missing := [cell for cell in cells if cell not in found]:
            before = len(found)
            for cell in missing:
                row = self._row(cell, make=not self._over())
                if row is not None:
                    found[cell] = row
            if self._over():
                return [found[cell] for cell in cells if cell in found]
            if len(found) == before:
                time.sleep(POLL)
        return [found[cell] for cell in cells]

    def _over(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def _row(self, cell: Cell, make: bool = True) -> Row | None:
        """None while another process is at it, or where it is not to be made."""
        settled = self.settled(cell, make)
        if settled is None:
            return None
        return self._done(settled) or (self._make(settled) if make else None)

    # learning rates

    def settled(self, cell: Cell, make: bool = False) -> Cell | None:
        """The cell with the learning rate of its method; None while it is not known.

        Args:
            make: search it now, if it is not there yet.
        """
        if not cell.steps or cell.rate is not None:
            return cell
        if len(self.search.rates) == 1:
            return replace(cell, rate=self.search.rates[0])
        tried = self.tried(cell.method, make)
        if None in tried.values():
            return None
        return replace(cell, rate=max(tried, key=lambda rate: (tried[rate], -rate)))

    def tried(self, method: str, make: bool = False) -> dict[float, float | None]:
        """What each rate comes to on dev, for a method or the one whose rate it takes;
        of a single rate nothing is measured."""
        if len(self.search.rates) == 1:
            return {}
        results: dict[float, float | None] = {}
        for cell in self.search.cells(self.methods[method].rate_of or method):
            row = self._row(cell) if make else self._done(cell)
            assert cell.rate is not None
            results[cell.rate] = row and row["tasks"]["dev"]["value"]
        return results

    # cells

    def place(self, cell: Cell) -> Path:
        """Where a cell lies: a method that changes leaves its old cells alone."""
        recipe = self.methods[cell.method].of(self.base, cell)
        name = f"{cell.place}-{self.mark(recipe)[:8]}"
        return self.folder / "cells" / cell.method / name

    def _done(self, cell: Cell) -> Row | None:
        path = self.place(cell) / "row.json"
        return dict(read_json(path)) if path.exists() else None

    def finished(self) -> list[Row]:
        """Every row that is there, of whatever axes."""
        return [read_json(path) for path in self.folder.glob("cells/*/*/row.json")]

    def _make(self, cell: Cell) -> Row | None:
        place = self.place(cell)
        with claimed(place) as mine:
            if not mine:
                return None
            return self._done(cell) or self._run(cell, place)

    def _run(self, cell: Cell, place: Path) -> Row:
        print(f"{cell} ...", file=sys.stderr, flush=True)
        method, run = self.methods[cell.method], RunDir(place / "run")
        recipe = method.of(self.base, cell)
        if not run.is_run():
            run.make()
            self._share_features(run, recipe, cell)
            run.begin(recipe)  # last: what is begun has its features
        attempts = (run.read("attempts.json") or 0) + 1
        run.write("attempts.json", attempts)
        wall, cpu = time.perf_counter(), time.process_time()
        model = self.made(cell, Job(run, recipe, self.stop))
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        row = {
            "method": cell.method,
            "target": cell.target,
            "data": cell.data,
            "steps": cell.steps,
            "seed": cell.seed,
            "rate": cell.rate,
            "samples": cell.steps * recipe.stages[0].batch,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "step_share": min(1.0, round(step_seconds(run) / seconds, 4)),
            "attempts": attempts,
            **self._measure(model, recipe, cell),
        }
        row["all_seconds"] = round(time.perf_counter() - wall, 1)
        row["all_cpu_seconds"] = round(time.process_time() - cpu, 1)
        write_json(place / "row.json", row)
        shown = {name: round(task["value"], 4) for name, task in row["tasks"].items()}
        print(
            f"  {row['share_encoder']:.4f} in {row['all_seconds']} s: "
            f"{json.dumps(shown)}",
            file=sys.stderr,
            flush=True,
        )
        return row

    def made(self, cell: Cell, job: Job) -> Path:
        """Execute a cell's recipe; leaves a model directory."""
        return self.methods[cell.method].run(job)

    def _share_features(self, run: RunDir, recipe: Recipe, cell: Cell) -> None:
        """Give a run the teacher's features that all of its data and seed share."""
        if recipe.cache_teacher != "always":
            return
        shared = RunDir(self.folder / "features" / f"{cell.data}-{cell.seed}")
        with claimed(shared.path, wait=True):
            if not shared.teacher_cache.exists():
                began = time.perf_counter()
                context = Job(shared, recipe, self.stop).context()
                context.loader(recipe.stages[0].batch)
                context.teacher_for(None)
                seconds = round(time.perf_counter() - began, 1)
                shared.write("features.json", {"seconds": seconds})
        if not run.teacher_cache.exists():
            os.link(shared.teacher_cache, run.teacher_cache)

    # figures

    def teacher(self) -> dict[str, Hits]:
        """The teacher's answers, measured once."""
        path = self.folder / "teacher.json"
        with claimed(self.folder / "teacher", wait=True):
            if not path.exists():
                hits = self.measured.hits(encoder_of(load_source(self.base.teacher)))
                write_json(path, packed(hits))
        return unpacked(read_json(path))

    def unshown(self, cell: Cell) -> Hits | None:
        """Of the designer's items, those that a cell's data has no picture of."""
        if cell.data not in self._unshown:
            data = self.methods[cell.method].of(self.base, cell).data
            self._unshown[cell.data] = self.measured.unshown(data)
        return self._unshown[cell.data]

    def _measure(self, model: Path, recipe: Recipe, cell: Cell) -> dict[str, Any]:
        """What a student came to."""
        loaded, unshown = load_model(model), self.unshown(cell)
        encoder = encoder_of(loaded)
        hits = with_unshown(self.measured.hits(encoder), unshown)
        teacher = with_unshown(self.teacher(), unshown)
        return {
            "share_encoder": loaded.config["share"]["encoder"],
            "recipe": self.mark(recipe),
            "tasks": figures(hits, teacher),
            "hits": packed(hits),
            **self.further(encoder),
        }

    def further(self, encoder: Encoder) -> dict[str, Any]:
        """What else is told of a student, by its key in the row."""
        return {}
