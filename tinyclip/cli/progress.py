"""How far a run is, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
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

PLAIN_EVERY = 15.0  # seconds between plain lines


def describe(record: dict[str, Any]) -> str:
    """The figures of one step in a few words."""
    words = []
    if "loss" in record:
        words.append(f"loss {record['loss']:.3f}")
    if record.get("p") is not None:
        words.append(f"p {record['p']:.3f} q {record['q']:.3f}")
    return " ".join(words)


class Bar:
    """A rich bar a phase."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}"),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
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

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)

    def phase(self, stage: int, name: str, done: int, total: int) -> None:
        """A phase begins, `done` of `total` steps behind it."""
        self._finish()
        title = f"stage {stage} {name}" if stage else name
        self._task = self._progress.add_task(
            title, total=total, completed=done, words=""
        )

    def step(self, record: dict[str, Any]) -> None:
        """A step is done."""
        if self._task is not None:
            self._progress.update(
                self._task, completed=record["step"], words=describe(record)
            )


class Lines:
    """A line when a phase begins, and one now and then."""

    def __init__(self) -> None:
        self._title, self._total, self._last = "", 0, 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self._last = time.monotonic()

    def phase(self, stage: int, name: str, done: int, total: int) -> None:
        """A phase begins, `done` of `total` steps behind it."""
        self._title = f"stage {stage} {name}" if stage else name
        self._total = total
        self._say(f"{self._title}: {done}/{total}")

    def step(self, record: dict[str, Any]) -> None:
        """A step is done: say so if the last line is old enough, or it was the last."""
        late = time.monotonic() - self._last >= PLAIN_EVERY
        if late or record["step"] == self._total:
            words = describe(record)
            self._say(f"{self._title}: {record['step']}/{self._total} {words}".strip())


def watcher() -> Bar | Lines:
    """What suits stderr."""
    return Bar() if sys.stderr.isatty() else Lines()
