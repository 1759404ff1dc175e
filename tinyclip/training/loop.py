"""The loop that every training phase runs in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..data.loader import Loader
from ..errors import Interrupted, TinyclipError
from .engine import Engine
from .log import MetricsLog
from .phases import LearnPhase, TrainingPhase
from .schedules import lr_share
from .state import Checkpoints, State, load_into


class Watcher(Protocol):
    """Who looks on: a progress bar, a test, nobody."""

    def phase(self, stage: int, name: str, done: int, total: int) -> None: ...

    def step(self, record: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Setting:
    """What surrounds a phase: where it saves, logs and asks whether to stop.

    Args:
        stage: number of the stage, from 1.
        samples: pairs the stage saw before this phase.
        extra: what a checkpoint remembers beside the tensors.
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


def restore(phase: TrainingPhase, state: State, engine: Engine) -> int:
    """Put a saved state back into a phase; returns the steps that are done."""
    load_into(phase.model, state.part("model"))
    phase.optimizer.load(state.optimizer())
    if isinstance(phase, LearnPhase):
        load_into(phase.gates, state.part("gates"))
        load_into(phase.multipliers, state.part("multipliers"))
    engine.load_scaler(state.extra.get("scaler", {}))
    return state.step


def save(phase: TrainingPhase, step: int, setting: Setting, engine: Engine) -> None:
    """Write the state after `step` steps."""
    extra = {
        **setting.extra,
        "offset": setting.metrics.offset,
        "scaler": engine.scaler_state(),
    }
    setting.checkpoints.save(State(phase.name, step, phase.tensors(), extra))


def run_phase(
    phase: TrainingPhase, loader: Loader, engine: Engine, setting: Setting
) -> None:
    """Train a phase from its newest state (or its beginning) to its end.

    The last state is saved too: what follows starts from it.

    Raises:
        Interrupted: asked to stop; the state is saved.
        TinyclipError: the loss is not a number any more.
    """
    state = setting.checkpoints.latest(phase.name)
    start = 0
    if state is None:
        # the phase's beginning is a state too: it knows where its metrics begin
        save(phase, 0, setting, engine)
    else:
        start = restore(phase, state, engine)
        # a phase that is whole is followed by the next one's lines: they stay
        if start < phase.steps:
            setting.metrics.cut(state.extra["offset"])
    setting.watcher.phase(setting.stage, phase.name, start, phase.steps)
    began = time.perf_counter()
    # a phase goes on where the one before it stopped reading
    first = setting.samples // setting.batch
    for step in range(start, phase.steps):
        lr = phase.optimizer.set_lr_share(lr_share(step, phase.steps, phase.optim))
        loss, parts = phase.losses(loader.batch(first + step), step)
        engine.update(loss, phase.optimizer)
        phase.after()
        done = step + 1
        if done % setting.log_every == 0 or done == phase.steps:
            record = {
                "stage": setting.stage,
                "phase": phase.name,
                "step": done,
                "samples": setting.samples + done * setting.batch,
                "loss": float(loss.detach()),
                "parts": {name: float(value) for name, value in parts.items()},
                **phase.record(),
                "lr": lr,
                "seconds": round(time.perf_counter() - began, 3),
            }
            _refuse_nan(record)
            setting.metrics.write(record)
            setting.watcher.step(record)
        stopping = setting.stop()
        if done % setting.checkpoint_every == 0 or done == phase.steps or stopping:
            save(phase, done, setting, engine)
        if stopping and done < phase.steps:
            raise Interrupted(
                f"Stopped in stage {setting.stage}, {phase.name}, after step {done} of "
                f"{phase.steps}; the state is saved"
            )


def _refuse_nan(record: dict[str, Any]) -> None:
    if not math.isfinite(record["loss"]):
        raise TinyclipError(
            f"stage {record['stage']}, {record['phase']}, step {record['step']}: the "
            f"loss is {record['loss']}; a lower learning rate or fp32 may help. The "
            f"last good state is kept"
        )
