"""The loop that every training phase runs in."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..data.batch import Batches
from ..errors import Interrupted, TinyclipError, UserError
from ..leaving import gently
from .engine import Engine
from .guard import LOWER, Guard
from .log import MetricsLog
from .phase import TrainingPhase
from .schedules import lr_share
from .state import Checkpoints, State
from .step import backward

log = logging.getLogger("tinyclip")


class Watcher(Protocol):
    """Who looks on: a progress bar, a test, nobody."""

    def plan(self, plan: dict[str, Any]) -> None: ...

    def phase(self, stage: int, name: str, done: int, total: int) -> None: ...

    def step(self, record: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What surrounds a phase: where it saves, logs and asks whether to stop.

    Args:
        stage: number of the stage, from 1.
        samples: pairs the stage saw before this phase.
        made_of: of what a checkpoint is, beside its tensors: settings, and the weights
            that the stage started from. A state of something else is not gone on with.
        accumulate: in how many pieces a batch goes through the towers.
        guard: share of steps that may be skipped; how far above its median, and for
            how many steps, a loss has run away.
        beside: what was seen beside the pairs after so many steps, by kind.
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
    made_of: dict[str, Any]
    accumulate: int = 1
    guard: tuple[float, float, int] = (0.01, 10.0, 50)
    accept: bool = False
    beside: Callable[[int], Mapping[str, int]] = lambda _: {}


class PhaseInProgress:
    """One phase in progress: what of it is saved, and where it goes back to."""

    def __init__(
        self,
        phase: TrainingPhase,
        loader: Batches,
        engine: Engine,
        around: Surroundings,
    ) -> None:
        self.phase, self.loader = phase, loader
        self.engine, self.around = engine, around
        self.guard = Guard(*around.guard)

    def begin(self) -> int:
        """Go to the newest state, or make the first; returns the steps done."""
        around, phase = self.around, self.phase
        state = around.checkpoints.latest(phase.name)
        self.engine.wait()  # all look before one writes
        if state is None:
            # the phase's beginning is a state too: it knows where its metrics begin
            self._cut_phase()
            self.save(0)
            return 0
        self._refuse_other(state)
        self._refuse_other_lines(state)
        self.restore(state)
        self._cut(state)
        return state.step

    def _refuse_other(self, state: State) -> None:
        """A state that is of other settings or weights is not gone on with.

        Raises:
            UserError: it is, and is not accepted.
        """
        around = self.around
        was = {key: state.extra.get(key) for key in around.made_of}
        if was == around.made_of:
            return
        where = f"{around.checkpoints.folder}/{state.phase}-{state.step:08d}"
        what = "was made with other settings, or from other weights"
        self._take(state, where, what, around.made_of)

    def _refuse_other_lines(self, state: State) -> None:
        """Lines that are not those that were there when a state was saved are not gone
        on with; of lines that are missing `_cut` tells.

        Raises:
            UserError: there are some, and they are not accepted.
        """
        metrics, sealed = self.around.metrics, state.extra.get("metrics")
        now = metrics.digest(state.extra["offset"])
        if None not in (now, sealed) and now != sealed:
            what = "its lines are not those that the run wrote"
            self._take(state, str(metrics.path), what, {"metrics": now})

    def _take(self, state: State, where: str, what: str, now: dict[str, Any]) -> None:
        """Go on with what is not what it was, if that is asked for; it is sealed so."""
        around = self.around
        if not around.accept:
            raise UserError(
                where,
                what,
                f"Put them back, redo the stage with --from-stage {around.stage}, or "
                "go on with --accept-changes",
            )
        log.warning("%s: %s. Going on all the same", where, what)
        if self.engine.is_main:
            around.checkpoints.take(state, now)

    def _cut_phase(self) -> None:
        """Drop the lines of a phase that begins anew, and all that came after."""
        if self.engine.is_main:
            self.around.metrics.cut_phase(self.around.stage, self.phase.name)

    def _cut(self, state: State) -> None:
        """Drop the lines that were written after a state. Those after a phase that is
        whole are the next one's, and stay."""
        if not self.engine.is_main:
            return
        if state.step < self.phase.steps:
            self.around.metrics.cut(state.extra["offset"])
        else:
            self.around.metrics.tell_missing(state.extra["offset"])

    def restore(self, state: State) -> None:
        """Put a saved state back."""
        self.phase.load(state)
        self.engine.load_scaler(state.extra.get("scaler", {}))
        if "guard" in state.extra:  # states of the first version have none
            self.guard.load(state.extra["guard"])

    def save(self, step: int) -> None:
        """Write the state after `step` steps; one process does, all wait for it."""
        if self.engine.is_main:
            self._write(step)
        self.engine.wait()

    def _write(self, step: int) -> None:
        around = self.around
        offset = around.metrics.offset
        extra = {
            **around.made_of,
            "offset": offset,
            "metrics": around.metrics.digest(offset),
            "scaler": self.engine.scaler_state(),
            "guard": self.guard.to_dict(),
        }
        tensors = self.phase.tensors()
        around.checkpoints.save(State(self.phase.name, step, tensors, extra))

    def step(self, step: int) -> tuple[dict[str, Any], str | None]:
        """One step; returns its record, and what is wrong if too much is."""
        phase, around = self.phase, self.around
        share = lr_share(step, phase.steps, phase.optim) * self.guard.lr_share
        phase.optimizer.set_lr_share(share)
        # a phase goes on where the one before it stopped reading
        batch = phase.draw(self.loader, around.samples // around.batch, step)
        pieces = around.accumulate
        loss, parts = backward(phase, batch, step, self.engine, pieces)
        applied = self.engine.update(phase.optimizer)
        if applied:
            phase.after()
        shown = {name: float(value) for name, value in parts.items()}
        value = float(loss)
        wrong = self.guard.see(step + 1, phase.task_loss(value, shown), applied)
        finite = {name: part for name, part in shown.items() if math.isfinite(part)}
        record = {
            "stage": around.stage,
            "phase": phase.name,
            "step": step + 1,
            "samples": around.samples + (step + 1) * around.batch,
            **around.beside(step + 1),
            "loss": value if math.isfinite(value) else None,
            "parts": finite,
            **phase.record(),
            "lr": phase.optim.lr * share,
        }
        if self.guard.skipped:
            record["skipped"] = self.guard.skipped
        return record, wrong

    def refuse_untrained(self) -> None:
        """A phase of which every step was skipped has trained nothing.

        Raises:
            UserError: it is so.
        """
        steps, stage = self.phase.steps, self.around.stage
        if steps and self.guard.skipped >= steps:
            raise UserError(
                f"stage {stage}, {self.phase.name}",
                f"all {steps} steps had a loss or gradient that is not a number",
                "Try other objectives, a lower learning rate or precision: fp32, with "
                f"--from-stage {stage}",
            )

    def go_back(self, wrong: str, step: int) -> int:
        """Return to the last good state with a lower learning rate, once.

        Raises:
            TinyclipError: it was done before.
        """
        around, guard = self.around, self.guard
        where = f"stage {around.stage}, {self.phase.name}, step {step}: {wrong}"
        # a loss that ran away did so before it was noticed
        state = around.checkpoints.latest(self.phase.name, step - guard.streak)
        if guard.went_back or state is None:
            raise TinyclipError(
                f"{where}{', again' if guard.went_back else ''}. Try a lower learning "
                f"rate (--set 'stages[*].{self.phase.name}.optim.lr=...'), or "
                "precision: fp32"
            )
        log.warning(
            "%s. Going back to step %d with %g times the learning rate",
            where,
            state.step,
            LOWER,
        )
        self.restore(state)
        guard.gone_back()
        self._cut(state)
        self.engine.wait()  # all have read before one lets go
        if self.engine.is_main:
            around.checkpoints.drop_after(self.phase.name, state.step)
        self.save(state.step)  # killed from here on, the return is not forgotten
        return state.step


def run_phase(
    phase: TrainingPhase, loader: Batches, engine: Engine, around: Surroundings
) -> None:
    """Train a phase from its newest state (or its beginning) to its end.

    The last state is saved too: what follows starts from it.

    Raises:
        Interrupted: asked to stop; the state is saved.
        TinyclipError: the loss is not a number any more, or runs away, for the second
            time.
        UserError: not one step trained anything.
    """
    progress = PhaseInProgress(phase, loader, engine, around)
    done = progress.begin()
    around.watcher.phase(around.stage, phase.name, done, phase.steps)
    with gently():
        _train(progress, done)
    progress.refuse_untrained()


def _train(progress: PhaseInProgress, done: int) -> None:
    """The steps of a phase that are left, after the first `done`."""
    phase, engine, around = progress.phase, progress.engine, progress.around
    began = time.perf_counter()
    while done < phase.steps:
        record, wrong = progress.step(done)
        done += 1
        if wrong:
            done = progress.go_back(wrong, done)
            continue
        if done % around.log_every == 0 or done == phase.steps:
            record["seconds"] = round(time.perf_counter() - began, 3)
            if engine.is_main:
                around.metrics.write(record)
            around.watcher.step(record)
        stopping = engine.anywhere(around.stop())
        if done % around.checkpoint_every == 0 or done == phase.steps or stopping:
            progress.save(done)
        if stopping:  # at the last step too: what follows may take long
            raise Interrupted(
                f"Stopped in stage {around.stage}, {phase.name}, after step {done} of "
                f"{phase.steps}; the state is saved"
            )
