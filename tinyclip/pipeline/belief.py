"""What a resume believes: what the run itself wrote, and nothing that changed since.

A stage's `done.json` is sealed, and holds the SHA-256 of every file that what follows
reads of the stage, and that of the weights it was made from: a chain from the recipe to
the last stage.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..config.load import recipe_to_dict
from ..config.schema import Recipe
from ..differences import differences
from ..errors import UserError
from ..sealed import CHANGED, digest_of, digests, fault_of_text
from ..tokenizers.huggingface import FOLDER
from .request import redo_command
from .run_dir import RunDir, StageDir

log = logging.getLogger("tinyclip")
ACCEPT = "--accept-changes"
WEIGHTS = "model/model.safetensors"
TOKENIZER = f"model/{FOLDER}/"
SHOWN = 4  # files that differ
BITS = 12  # hexadecimal digits of a SHA-256 that people compare


def refuse_changed(where: object, what: str, todo: str, accept: bool) -> None:
    """What a run did not write is told: as an error, or as a warning where it is taken.

    Raises:
        UserError: it is not taken.
    """
    if accept:
        log.warning("%s: %s\nGoing on all the same (%s)", where, what, ACCEPT)
        return
    raise UserError(
        str(where),
        what,
        f"{todo}, or go on with {ACCEPT}: the result is then not that of one "
        "uninterrupted run",
    )


def believed(run: RunDir, name: str, accept: bool) -> dict[str, Any] | None:
    """What a JSON file of the run holds, or None where there is none.

    Raises:
        UserError: it is damaged, or is not what the run wrote.
    """
    try:
        read = run.read_sealed(name)
    except UserError as error:
        refuse_changed(error.where, error.what, error.todo, accept)
        return None
    if read is not None and read.fault:
        todo = "Put it back, start a new run with --out"
        refuse_changed(run.path / name, read.fault, todo, accept)
    return None if read is None else read.value


def refuse_edited(run: RunDir, accept: bool) -> None:
    """A run's recipe is changed by `--set` and `--from-stage`, never in its file.

    Raises:
        UserError: it was; the message says what differs, where that is known.
    """
    fault = fault_of_text(run.recipe_file)
    if not fault:
        return
    changed = "; ".join(_edited(run)) if fault == CHANGED else ""
    refuse_changed(
        run.recipe_file,
        f"{fault}: {changed}" if changed else fault,
        "Put it back and change settings with --set and --from-stage N",
        accept,
    )


def _edited(run: RunDir) -> Iterator[str]:
    """The settings that are others than those that the run began with."""
    try:
        plan = run.read("plan.json") or {}
        now = recipe_to_dict(run.recipe())
    except UserError:  # damaged too: there is nothing to compare
        return
    for key, old, new in list(differences(plan.get("recipe") or now, now))[:SHOWN]:
        yield f"{key}: {old!r} -> {new!r}"


def with_recipe(plan: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What `plan.json` holds: the recipe too, to tell what was edited in its file."""
    return {**plan, "recipe": recipe_to_dict(recipe)}


def files_of(folder: StageDir) -> dict[str, str]:
    """SHA-256 of the files of a whole stage that what follows reads, by their names."""
    files = {
        f"{folder.model.name}/{name}": digest
        for name, digest in digests(folder.model, without=("README.md",)).items()
    }
    keep = folder.path / "keep.json"
    return files | ({keep.name: digest_of(keep)} if keep.exists() else {})


def seal_stage(
    folder: StageDir, fingerprint: str, made_from: str | None, told: dict[str, Any]
) -> None:
    """Write `done.json`, which says that a stage is whole, and of what.

    Args:
        fingerprint: of its settings and of all that came before it.
        made_from: SHA-256 of the weights that it started from; None for the teacher's.
        told: what else it says.
    """
    chain = {"fingerprint": fingerprint, "made_from": made_from}
    folder.write_done({**told, **chain, "files": files_of(folder)})


@dataclass(frozen=True)
class Link:
    """What a stage of a run must be made of, to be gone on with.

    Args:
        accept: take what differs as it is.
        main: whether this process writes the files.
    """

    run: RunDir
    fingerprint: str
    made_from: str | None
    accept: bool
    main: bool

    def done(self, folder: StageDir) -> dict[str, Any] | None:
        """What `done.json` says of a whole stage, or None while it is not whole.

        Raises:
            UserError: it is not what the run wrote, or was made of something else.
        """
        read = folder.read_done()
        if read is None:
            return None
        done = read.value
        faults = [f"done.json {read.fault}"] if read.fault else []
        now = files_of(folder)
        if "files" in done:
            faults += _other_files(done["files"], now)
        if "made_from" in done and done["made_from"] != self.made_from:
            faults.append("was made from other weights than the stage before has")
        if done["fingerprint"] != self.fingerprint:
            faults.append("was made with other settings")
        if faults:
            self._tell(folder, faults)
            self._take(folder, done)
        return {**done, "files": now}

    def _tell(self, folder: StageDir, faults: list[str]) -> None:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        redo = redo_command(self.run.path, folder.number)
        todo = f"Restore it, redo it with: {redo}"
        what = "; ".join([*faults[:SHOWN], *more])
        refuse_changed(folder.path, what, todo, self.accept)

    def _take(self, folder: StageDir, done: dict[str, Any]) -> None:
        """Seal a stage as it lies."""
        if not self.main:
            return
        told = {name: value for name, value in done.items() if name != "files"}
        if done["fingerprint"] != self.fingerprint:
            told["accepted"] = [*(done.get("accepted") or []), done["fingerprint"]]
        seal_stage(folder, self.fingerprint, self.made_from, told)


def _other_files(sealed: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for name, was, is_now in differences(sealed, now):
        if was is None:
            # what lies beside the model's own files is nobody's to read, but all that
            # lies in a tokenizer's folder is
            if name.startswith(TOKENIZER):
                yield f"{name} was not there"
        elif is_now is None:
            yield f"{name} is missing"
        else:
            yield (
                f"{name} is not what the run wrote (SHA-256 {is_now[:BITS]}, sealed "
                f"{was[:BITS]})"
            )


def weights_of(folder: StageDir) -> str | None:
    """SHA-256 of the weights of a whole stage, as its `done.json` has it."""
    read = folder.read_done()
    files = {} if read is None else read.value.get("files") or {}
    return files.get(WEIGHTS)
