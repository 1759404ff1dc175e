"""What lies in the folders of a run that the run did not write: it is left alone."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..files import is_draft
from ..tokenizers.huggingface import FOLDER

log = logging.getLogger("tinyclip")
SHOWN = 3  # of what is left

_MODEL = (
    r"(config|certificate|metrics|vocabulary)\.json|model\.safetensors|README\.md|"
    rf"bpe\.txt\.gz|{FOLDER}(/[^/]+)?"
)
_STAGE = (
    r"stage\.yaml|(done|keep|certificate|solution|allocation|rotation)\.json|"
    r"checkpoints(/.+-\d{8,}\.(json|safetensors))?|model"
)
# what a stage, or a model directory, holds
OURS = re.compile(f"{_STAGE}|{_MODEL}|model/({_MODEL})")


def foreign_in(folder: Path) -> Iterator[Path]:
    """What a run does not write into a stage or a model directory, by its path there;
    of a folder that is none of ours, the folder alone."""
    for root, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = (Path(root) / name).relative_to(folder)
            if is_draft(name) or OURS.fullmatch(path.as_posix()):
                continue
            yield path
            if name in folders:
                folders.remove(name)


def remove(folder: Path) -> bool:
    """Remove a stage or a model directory, unless something else lies in it; returns
    whether it has gone."""
    foreign = [str(path) for path in foreign_in(folder)]
    if foreign:
        more = ", ..." if len(foreign) > SHOWN else ""
        shown = ", ".join(foreign[:SHOWN]) + more
        log.warning("%s stays: the run did not write %s", folder, shown)
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def carry(before: Path, draft: Path) -> None:
    """Put what is foreign in a model directory into the one that takes its place."""
    for path in foreign_in(before):
        source, target = before / path, draft / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True)
        elif source.is_symlink() or source.is_file():
            shutil.copy2(source, target, follow_symlinks=False)
        else:  # a pipe or a device has nothing to copy but its name
            source.rename(target)
