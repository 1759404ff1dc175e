"""The figures of a run in a tracker of the user's choice, beside `metrics.jsonl`."""

from __future__ import annotations

import logging
from typing import Any

from ..errors import UserError
from ..training.engine import Engine
from ..training.loop import Watcher
from .run_dir import RunDir

log = logging.getLogger("tinyclip")
TESTED = ("tensorboard",)
SKIPPED = ("stage", "samples")


def flat(record: dict[str, Any]) -> dict[str, float]:
    """A record's numbers under `PHASE/NAME`."""
    numbers = {**record.get("parts", {}), **record}
    return {
        f"{record['phase']}/{key}": value
        for key, value in numbers.items()
        if isinstance(value, int | float) and key not in SKIPPED
    }


class Tracked:
    """A watcher that hands every record of training on.

    Args:
        shown: the watcher that people see.
        name: of the tracker, as accelerate has it.

    Raises:
        UserError: there is no such tracker, it is not installed, or cannot start.
    """

    def __init__(self, shown: Watcher, name: str, engine: Engine, run: RunDir) -> None:
        if name not in TESTED:
            log.warning("--log-with %s: handed to accelerate as it is, untested", name)
        self.shown = shown
        try:
            self.tracker = engine.tracker(name, run.path / "tracking", run.path.name)
        except UserError:
            raise
        except Exception as error:  # whatever a tracker's own library raises
            raise UserError(
                "--log-with",
                f"{name} cannot start ({type(error).__name__}: {str(error)[:200]})",
                "Leave it out, or use tensorboard",
            ) from None

    def plan(self, plan: dict[str, Any]) -> None:
        self.shown.plan(plan)

    def phase(self, stage: int, name: str, done: int, total: int) -> None:
        self.shown.phase(stage, name, done, total)

    def step(self, record: dict[str, Any]) -> None:
        """Show a step, and hand it on if it has figures."""
        self.shown.step(record)
        if "phase" in record:
            self.tracker.log(flat(record), step=record["samples"])

    def finish(self) -> None:
        """Let the tracker write what it holds."""
        self.tracker.finish()
