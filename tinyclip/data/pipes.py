"""`pipe:COMMAND {000..099}`: shards that a program writes to its standard output.

What comes through a pipe has no places to read from, so each shard is kept in the
user's cache folder, whole or absent, and read like any other tar from there. A run that
is killed while a shard comes in reads that one again, and no other.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO

from ..config.schema import Data
from ..errors import StorageError, UserError
from ..leaving import undone
from .kept import cache_folder, only_looking, whole_file
from .shards import expand
from .tar_index import index_shards
from .tars import TarPairs, tars_of
from .views import Subset

log = logging.getLogger("tinyclip")
COMPLAINT = 500  # characters of a program's complaint
PIECE = 2**20  # bytes that are passed on at a time


def open_pipe(data: Data, command: str) -> TarPairs | Subset:
    """The pairs of shards that a command writes, one run of it for each brace.

    Raises:
        UserError: the command fails, or what it writes is no tar.
        StorageError: a shard cannot be kept.
    """
    commands = list(expand(data.source, command))
    folder = cache_folder("pipes")
    shards = fetch(data.source, commands, folder)
    if only_looking():
        return tars_of(data, shards)
    if _drop_torn(shards, data.caption_column):  # kept by one that was less careful
        shards = fetch(data.source, commands, folder)
    if torn := _drop_torn(shards, data.caption_column):
        place, why = next(iter(torn.items()))
        raise UserError(
            data.source,
            f"the tar that this command writes is not whole ({why}), and is not kept: "
            f"{commands[place]}",
            "Give the command again; a program that was cut off in a pipe (a | b) is "
            "not told by the exit status",
        )
    return tars_of(data, shards)


def _drop_torn(shards: Sequence[Path], caption_key: str | None) -> dict[int, str]:
    """Remove what is no whole tar; why, by the place of its command."""
    indices = index_shards(shards, caption_key)
    torn = {place: index.torn for place, index in enumerate(indices) if index.torn}
    for place in torn:
        shards[place].unlink(missing_ok=True)
    return torn


def fetch(where: str, commands: Sequence[str], folder: Path) -> list[Path]:
    """The file of each command's shard, those that are missing read now."""
    paths = [folder / f"{_digest(command)}.tar" for command in commands]
    missing = [place for place, path in enumerate(paths) if not path.exists()]
    if missing and only_looking():
        raise UserError(
            where,
            f"{len(missing)} of {len(paths)} shards are not in {folder}, and a dry run "
            "runs no command",
            "Run it without --dry-run, which reads them once, or name tars that are on "
            "disk: tars:FILES",
        )
    if missing:
        log.warning(
            "%s: %d of %d shards are in %s; running the command for the rest (a shard "
            "that was open when a run was killed is read again)",
            where,
            len(paths) - len(missing),
            len(paths),
            folder,
        )
    for place in missing:
        _read(where, commands[place], paths[place])
    return paths


def _digest(command: str) -> str:
    return blake2b(command.encode(), digest_size=12).hexdigest()


def _read(where: str, command: str, path: Path) -> None:
    """Run one command, its output to `path`, whole or not at all."""
    try:
        with whole_file(path) as file:
            code, complaint = _run(command, file)
            if code:
                raise UserError(
                    where,
                    f"the command failed with {code}: {command}\n{complaint}",
                    "Try it in a shell",
                )
            file.flush()
            if not tarfile.is_tarfile(file.name):
                raise UserError(
                    where,
                    f"what this command writes is no tar: {command}",
                    "Compressed shards need a program that unpacks them: ... | gunzip",
                )
    except OSError as error:
        raise StorageError(path, error) from None


def _run(command: str, file: IO[bytes]) -> tuple[int, str]:
    """Run a command, its output to a file; its exit code and what it complains of.

    Its output comes through us: a program that goes on writing ends when we do.
    """
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as process,
        undone(process.kill),
    ):
        assert process.stdout is not None
        try:
            shutil.copyfileobj(process.stdout, file, PIECE)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        complaints.seek(0)
        return code, complaints.read().decode(errors="replace").strip()[-COMPLAINT:]
