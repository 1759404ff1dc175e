"""How far a run is, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ..leaving import undone
from .show import say

PLAIN_EVERY = 60.0  # seconds between plain lines
Clock = Callable[[], float]


class Pace:
    """How fast a run goes, and when it will be through.

    Args:
        clock: seconds from anywhere.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._work: dict[tuple[int, str], tuple[int, float]] = {}
        self._at: tuple[int, str] = (0, "")
        self._step, self._samples, self._since = 0, 0, 0.0
        self._spent = self._done = 0.0  # seconds and operations of steps seen here
        self.rate: float | None = None

    def plan(self, plan: dict[str, Any]) -> None:
        """What each phase of the run will cost."""
        for stage in plan["stages"]:
            for name, steps in stage["phases"].items():
                each = stage["flops_per_step"][name]
                self._work[stage["number"], name] = (steps, each)

    def phase(self, stage: int, name: str, done: int) -> None:
        """A phase begins, `done` steps behind it."""
        self._at, self._step, self._since = (stage, name), done, self.clock()
        self._samples, self.rate = 0, None

    def step(self, record: dict[str, Any]) -> None:
        """Some steps are done."""
        now = self.clock()
        seconds, steps = now - self._since, record["step"] - self._step
        samples = record.get("samples", 0)
        if self._samples and seconds > 0:
            self.rate = (samples - self._samples) / seconds
        if self._at in self._work:
            self._spent += seconds
            self._done += steps * self._work[self._at][1]
        self._step, self._samples, self._since = record["step"], samples, now

    def left(self) -> float | None:
        """Seconds until the last phase of the run ends; None while nobody knows."""
        if not self._done or self._at not in self._work:
            return None
        steps, each = self._work[self._at]
        later = [key for key in self._work if self._ahead(key)]
        work = (steps - self._step) * each
        work += sum(self._work[key][0] * self._work[key][1] for key in later)
        return work * self._spent / self._done

    def _ahead(self, key: tuple[int, str]) -> bool:
        order = list(self._work)
        return order.index(key) > order.index(self._at)


def span(seconds: float) -> str:
    """Seconds as `3:07`, `2:05:00` or `4 d 3 h`."""
    whole = round(seconds)
    if whole >= 86_400:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
    return f"{minutes}:{rest:02}"


def describe(record: dict[str, Any], pace: Pace | None = None) -> str:
    """The figures of one step in a few words."""
    words = []
    if record.get("loss") is None and "loss" in record:
        words.append("loss not a number, skipped")
    elif "loss" in record:
        words.append(f"loss {record['loss']:.3f}")
    if record.get("p") is not None:
        words.append(f"p {record['p']:.3f} q {record['q']:.3f}")
    if pace is not None and pace.rate is not None:
        words.append(f"{pace.rate:,.0f} pairs/s")
    left = None if pace is None else pace.left()
    if left is not None:
        words.append(f"run {span(left)} left")
    return " ".join(words)


class Bar:
    """A rich bar a phase."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._shown = contextlib.ExitStack()
        self._pace = Pace()

    def plan(self, plan: dict[str, Any]) -> None:
        """What the run will do."""
        self._pace.plan(plan)

    def __enter__(self) -> Bar:
        self._shown.enter_context(undone(_show_cursor))
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish()
        self._progress.stop()
        self._shown.close()

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)

    def phase(self, stage: int, name: str, done: int, total: int) -> None:
        """A phase begins, `done` of `total` steps behind it."""
        self._finish()
        self._pace.phase(stage, name, done)
        title = f"stage {stage} {name}" if stage else name
        self._task = self._progress.add_task(
            title, total=total, completed=done, words=""
        )

    def step(self, record: dict[str, Any]) -> None:
        """A step is done."""
        self._pace.step(record)
        if self._task is not None:
            words = describe(record, self._pace)
            self._progress.update(self._task, completed=record["step"], words=words)


def _show_cursor() -> None:
    """What a bar hides, on a line below it; past its lock, which may be held."""
    os.write(2, b"\n\x1b[?25h")


class Lines:
    """A line when a phase begins, and one now and then."""

    def __init__(self) -> None:
        self._title, self._total, self._last = "", 0, 0.0
        self._pace = Pace()

    def plan(self, plan: dict[str, Any]) -> None:
        """What the run will do."""
        self._pace.plan(plan)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def _say(self, text: str) -> None:
        say(text)
        self._last = time.monotonic()

    def phase(self, stage: int, name: str, done: int, total: int) -> None:
        """A phase begins, `done` of `total` steps behind it."""
        self._title = f"stage {stage} {name}" if stage else name
        self._total = total
        self._pace.phase(stage, name, done)
        self._say(f"{self._title}: {done}/{total}")

    def step(self, record: dict[str, Any]) -> None:
        """A step is done: say so if the last line is old enough, or it was the last."""
        self._pace.step(record)
        late = time.monotonic() - self._last >= PLAIN_EVERY
        if late or record["step"] == self._total:
            words = describe(record, self._pace)
            self._say(f"{self._title}: {record['step']}/{self._total} {words}".strip())


def watcher() -> Bar | Lines:
    """What suits stderr."""
    return Bar() if sys.stderr.isatty() else Lines()
