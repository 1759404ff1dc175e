"""A run that still goes, or was stopped: what there is of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from ..formats.source import looked_at
from .run_dir import RunDir


def usable(name: str, say: Callable[[str], None]) -> str:
    """The model that a name stands for: of a run that is not finished the last whole
    stage's, which is said; else the name itself.

    Raises:
        UserError: no stage of the run is whole.
    """
    run = RunDir(Path(name.removeprefix("run:")))
    with looked_at(name, "MODEL"):
        is_run = run.is_run()
    if not is_run or (run.model / "config.json").exists():
        return name
    folders = run.stages(run.recipe())
    whole = [folder for folder in folders if folder.done() is not None]
    if not whole:
        raise UserError(
            name,
            f"none of its {len(folders)} stages is whole yet",
            "Wait for the first, or see how far it is: tinyclip inspect",
        )
    last = whole[-1]
    say(f"{name}: stage {last.number} of {len(folders)} is whole, and is taken")
    return str(last.model)
