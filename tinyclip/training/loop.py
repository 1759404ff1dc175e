"""The loop that every training phase runs in."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..data.loader import Loader
from ..errors import Interrupted, TinyclipError
from .engine import Engine
from .guard import LOWER, Guard
from .log import MetricsLog
from .phases import LearnPhase, TrainingPhase
from .schedules import lr_share
from .state import Checkpoints, State, load_into
from .step import backward

log = logging.getLogger("tinyclip")


class Watcher(Protocol):
    """Who looks on: a progress bar, a test, nobody."""

    def plan(self, plan: dict[str, Any]) -> None: ...

    def phase(self, stage: int, name: str, done: int, total: int) -> None: ...

    def step(self, record: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Setting:
    """What surrounds a phase: where it saves, logs and asks whether to stop.

    Args:
        stage: number of the stage, from 1.
        samples: pairs the stage saw before this phase.
        extra: what a checkpoint remembers beside the tensors.
        accumulate: in how many pieces a batch goes through the towers.
        guard: share of steps that may be skipped; how far above its median, and for
            how many steps, a loss has run away.
    """

    stage: int
    batch: int
    samples: int
    log_every: int
    checkpoint_every: int
    checkpoints: Checkpoints
    metrics: MetricsLog
    watcher: Watcher
    stop: Callable[[], bool]
    extra: dict[str, Any]
    accumulate: int = 1
    guard: tuple[float, float, int] = (0.01, 10.0, 50)


class Run:
    """One phase in progress: what of it is saved, and where it goes back to."""

    def __init__(
        self, phase: TrainingPhase, loader: Loader, engine: Engine, setting: Setting
    ) -> None:
        self.phase, self.loader = phase, loader
        self.engine, self.setting = engine, setting
        self.guard = Guard(*setting.guard)

    def begin(self) -> int:
        """Go to the newest state, or make the first; returns the steps done."""
        setting, phase = self.setting, self.phase
        state = setting.checkpoints.latest(phase.name)
        self.engine.wait()  # all look before one writes
        if state is None:
            # the phase's beginning is a state too: it knows where its metrics begin
            self.save(0)
            return 0
        self.restore(state)
        # a phase that is whole is followed by the next one's lines: they stay
        if state.step < phase.steps:
            self._cut(state)
        return state.step

    def _cut(self, state: State) -> None:
        """Drop the lines that were written after a state."""
        if self.engine.is_main:
            self.setting.metrics.cut(state.extra["offset"])

    def restore(self, state: State) -> None:
        """Put a saved state back."""
        phase = self.phase
        load_into(phase.model, state.part("model"))
        phase.optimizer.load(state.optimizer())
        if isinstance(phase, LearnPhase):
            load_into(phase.gates, state.part("gates"))
            load_into(phase.multipliers, state.part("multipliers"))
        self.engine.load_scaler(state.extra.get("scaler", {}))
        if "guard" in state.extra:  # states of the first version have none
            self.guard.load(state.extra["guard"])

    def save(self, step: int) -> None:
        """Write the state after `step` steps; one process does, all wait for it."""
        if self.engine.is_main:
            self._write(step)
        self.engine.wait()

    def _write(self, step: int) -> None:
        setting = self.setting
        extra = {
            **setting.extra,
            "offset": setting.metrics.offset,
            "scaler": self.engine.scaler_state(),
            "guard": self.guard.to_dict(),
        }
        tensors = self.phase.tensors()
        setting.checkpoints.save(State(self.phase.name, step, tensors, extra))

    def step(self, step: int) -> tuple[dict[str, Any], str | None]:
        """One step; returns its record, and what is wrong if too much is."""
        phase, setting = self.phase, self.setting
        share = lr_share(step, phase.steps, phase.optim) * self.guard.lr_share
        lr = phase.optimizer.set_lr_share(share)
        # a phase goes on where the one before it stopped reading
        batch = self.loader.batch(setting.samples // setting.batch + step)
        pieces = setting.accumulate
        loss, parts = backward(phase, batch, step, self.engine, pieces)
        applied = self.engine.update(phase.optimizer)
        if applied:
            phase.after()
        shown = {name: float(value) for name, value in parts.items()}
        value = float(loss)
        task = value - shown.get("sparsity", 0.0)
        wrong = self.guard.see(step + 1, task, applied)
        finite = {name: one for name, one in shown.items() if math.isfinite(one)}
        record = {
            "stage": setting.stage,
            "phase": phase.name,
            "step": step + 1,
            "samples": setting.samples + (step + 1) * setting.batch,
            "loss": value if math.isfinite(value) else None,
            "parts": finite,
            **phase.record(),
            "lr": lr,
        }
        if self.guard.skipped:
            record["skipped"] = self.guard.skipped
        return record, wrong

    def go_back(self, wrong: str, step: int) -> int:
        """Return to the last good state with a lower learning rate, once.

        Raises:
            TinyclipError: it was done before.
        """
        setting, guard = self.setting, self.guard
        place = f"stage {setting.stage}, {self.phase.name}, step {step}: {wrong}"
        # a loss that ran away did so before it was noticed
        state = setting.checkpoints.latest(self.phase.name, step - guard.streak)
        if guard.went_back or state is None:
            raise TinyclipError(
                f"{place}{', again' if guard.went_back else ''}. Try a lower learning "
                "rate (--set 'stages[*].distil.optim.lr=...'), or precision: fp32"
            )
        log.warning(
            "%s. Going back to step %d with %g times the learning rate",
            place,
            state.step,
            LOWER,
        )
        self.restore(state)
        guard.gone_back()
        self._cut(state)
        self.engine.wait()  # all have read before one lets go
        if self.engine.is_main:
            setting.checkpoints.drop_after(self.phase.name, state.step)
        self.save(state.step)  # killed from here on, the return is not forgotten
        return state.step


def run_phase(
    phase: TrainingPhase, loader: Loader, engine: Engine, setting: Setting
) -> None:
    """Train a phase from its newest state (or its beginning) to its end.

    The last state is saved too: what follows starts from it.

    Raises:
        Interrupted: asked to stop; the state is saved.
        TinyclipError: the loss is not a number any more, or runs away, for the second
            time.
    """
    run = Run(phase, loader, engine, setting)
    done = run.begin()
    setting.watcher.phase(setting.stage, phase.name, done, phase.steps)
    began = time.perf_counter()
    while done < phase.steps:
        record, wrong = run.step(done)
        done += 1
        if wrong:
            done = run.go_back(wrong, done)
            continue
        if done % setting.log_every == 0 or done == phase.steps:
            record["seconds"] = round(time.perf_counter() - began, 3)
            if engine.is_main:
                setting.metrics.write(record)
            setting.watcher.step(record)
        stopping = engine.any(setting.stop())
        if done % setting.checkpoint_every == 0 or done == phase.steps or stopping:
            run.save(done)
        if stopping and done < phase.steps:
            raise Interrupted(
                f"Stopped in stage {setting.stage}, {phase.name}, after step {done} of "
                f"{phase.steps}; the state is saved"
            )
