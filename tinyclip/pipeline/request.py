"""What is asked of a folder, and whether the folder may be used for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.load import recipe_to_dict
from ..config.schema import Recipe
from ..differences import differences
from ..errors import UserError
from ..quoting import command
from .run_dir import RunDir

ABSENT = object()  # what one recipe does not name, an objective for one


@dataclass(frozen=True)
class Request:
    """What the caller wants done with a folder.

    Args:
        recipe: None takes the folder's own (a resume).
        resume: go on with what is there.
        from_stage: redo this stage and those after it.
        accept_changes: go on though recipe, teacher, data or libraries are others.
        log_with: a tracker of accelerate's that takes the figures too.
    """

    out: Path
    recipe: Recipe | None = None
    resume: bool = False
    from_stage: int | None = None
    accept_changes: bool = False
    log_with: str | None = None


def resume_command(out: Path) -> str:
    """The line that goes on with a run."""
    return command("compress", "--resume", out=out)


def redo_command(out: Path, stage: int) -> str:
    """The line that redoes a stage and those after it."""
    return command("compress", out=out, from_stage=stage)


def settle(request: Request) -> tuple[RunDir, Recipe]:
    """The run and the recipe that a request means, before anything is written.

    Raises:
        UserError: the folder is in use, missing, foreign, or of another recipe.
    """
    run = RunDir(request.out)
    if request.out.exists() and not request.out.is_dir():
        raise UserError(str(request.out), "is a file", "Name another folder with --out")
    if request.resume or request.from_stage is not None:
        return run, _settle_resume(run, request)
    if request.recipe is None:
        raise UserError("recipe", "there is none", "Name a recipe, or use --resume")
    if run.is_run():
        if run.is_done(run.recipe()):
            raise UserError(
                str(run.path),
                "holds a finished run",
                "Name another folder with --out, or redo stages with --from-stage N",
            )
        raise UserError(
            str(run.path),
            "holds an unfinished run",
            f"Go on with: {resume_command(run.path)}",
        )
    if not run.is_empty():
        raise UserError(
            str(run.path),
            "is not empty, and not a run of tinyclip",
            "Name another folder with --out",
        )
    return run, request.recipe


def _settle_resume(run: RunDir, request: Request) -> Recipe:
    if not run.is_run():
        if run.path.is_dir() and run.is_empty() and request.recipe is not None:
            return request.recipe  # killed before its first write: from the beginning
        what = "holds no run" if run.path.is_dir() else "does not exist"
        raise UserError(
            str(run.path), what, f"Start one with: {command('compress', out='DIR')}"
        )
    stored = run.recipe()
    _check_stage(request.from_stage, request.recipe or stored)
    if request.recipe is None:
        return stored
    different = changed_settings(stored, request.recipe)
    first = request.from_stage
    if first is not None:
        different = [key for key in different if not _is_later(key, first)]
    if different and not request.accept_changes:
        raise UserError(
            str(run.path),
            "its recipe is another one: " + "; ".join(different[:8]),
            "Leave those arguments out, name another folder with --out, or go on "
            "with --accept-changes"
            if first is None
            else f"Only the settings of stages from {first} on may change",
        )
    return request.recipe


def _check_stage(number: int | None, recipe: Recipe) -> None:
    """Refuse to redo a stage that the recipe does not have."""
    if number is not None and not 1 <= number <= len(recipe.stages):
        raise UserError(
            "--from-stage",
            f"there is no stage {number}",
            f"The recipe has stages 1 to {len(recipe.stages)}",
        )


def _is_later(difference: str, first: int) -> bool:
    head = difference.split(":")[0]
    if not head.startswith("stages["):
        return False
    return int(head[len("stages[") : head.index("]")]) + 1 >= first


def changed_settings(stored: Recipe, asked: Recipe) -> list[str]:
    """Each setting that differs, as `key: stored -> asked`."""
    changed = differences(recipe_to_dict(stored), recipe_to_dict(asked), ABSENT)
    return [
        f"{key}: {_shown(old)} -> {_shown(new)}"
        for key, old, new in changed
        if key not in ("name", "about")
    ]


def _shown(value: Any) -> str:
    return "not there" if value is ABSENT else repr(value)
