"""The phases, each in the file of its name.

`config.stage.Stage` is their registry: a field of phase settings there is a file here
with `run(stage, progress)`, which takes a stage's progress one phase further. It is
imported when a stage first asks for it, as the command line imports its verbs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from ..handover import Progress
    from ..stage_context import StageContext


class RunPhase(Protocol):
    """Takes a stage's progress one phase further."""

    def __call__(self, stage: StageContext, progress: Progress) -> None: ...


def phase_called(name: str) -> RunPhase:
    """What runs the phase of that name, which `config` has checked."""
    return cast(RunPhase, importlib.import_module(f"{__name__}.{name}").run)
