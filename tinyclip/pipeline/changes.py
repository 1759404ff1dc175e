"""What a run's bits depend on, and what has changed since it began."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from ..differences import differences
from ..training.engine import Engine
from .belief import believed, refuse_changed
from .plan import Plan
from .run_dir import RunDir

log = logging.getLogger("tinyclip")
# what makes the pixels, the tokens and the student: another minor version may change
# bits
LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "open_clip_torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "safetensors",
    "torch-pruning",
)


def environment(engine: Engine) -> dict[str, Any]:
    """What the run's bits depend on beside its recipe."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": engine.device.type,
        "threads": engine.threads,
        "world_size": engine.world,
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def minor(number: str) -> str:
    """`2.15` of `2.15.0+cu132`."""
    return ".".join(number.split("+")[0].split(".")[:2])


def changed_world(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two environments so that bits may differ."""
    for key in ("device", "threads"):
        if before.get(key) != after[key]:
            yield f"{key}: {before.get(key)} -> {after[key]}"
    for name in LIBRARIES:
        old = before.get("libraries", {}).get(name)
        new = after["libraries"][name]
        if old is not None and minor(old) != minor(new):
            yield f"{name}: {old} -> {new}"


def changed_inputs(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What a run is made of, and is another one now."""
    return [f"{what}: {old} -> {new}" for what, old, new in differences(before, after)]


def refuse_changes(run: RunDir, plan: Plan, engine: Engine, accept: bool) -> None:
    """A run goes on in the world that it began in, unless told otherwise.

    Raises:
        UserError: something has changed, with what it was and is.
    """
    plan_before = believed(run, "plan.json", accept)
    world_before = believed(run, "environment.json", accept)
    changes: list[str] = []
    if plan_before is not None:
        changes += changed_inputs(plan_before["fingerprints"], plan.fingerprints)
    if world_before is not None:
        changes += changed_world(world_before, environment(engine))
        if world_before.get("world_size", 1) != engine.world:
            log.warning(
                "%s: %s processes before, %s now: the same samples are left to see, "
                "but the result is not bit for bit that of one launch",
                run.path,
                world_before.get("world_size", 1),
                engine.world,
            )
    if changes:
        words = "\n  ".join(["changed since this run began:", *changes])
        todo = "Put it back, start a new run with --out"
        refuse_changed(run.path, words, todo, accept)
