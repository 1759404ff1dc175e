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
from ..errors import UserError
from ..files import drop_left, make_folder, whole_file
from ..leaving import undone
from ..sealed import Sealed, digest_of, read_sealed, write_sealed
from .kept import cache_folder, only_looking
from .shards import expand
from .tar_index import index_shards
from .tars import TarPairs, captions_under, tars_of
from .views import Subset

log = logging.getLogger("tinyclip")
COMPLAINT = 500  # characters of a program's complaint
PIECE = 2**20  # bytes that are passed on at a time
SEAL = {"bytes": int, "mtime_ns": int, "sha256": str}


def open_pipe(data: Data, command: str) -> TarPairs | Subset:
    """The pairs of shards that a command writes, one run of it for each brace.

    Raises:
        UserError: the command fails, or what it writes is no tar.
        StorageError: a shard cannot be kept.
    """
    commands = list(expand(data.source, command))
    folder = cache_folder("pipes")
    if only_looking():
        return tars_of(data, _there(data.source, commands, folder))
    make_folder(folder)
    shards = fetch(data.source, commands, folder)
    if _drop_torn(shards, captions_under(data)):  # kept by one that was less careful
        shards = fetch(data.source, commands, folder)
    if torn := _drop_torn(shards, captions_under(data)):
        place, why = next(iter(torn.items()))
        raise UserError(
            data.source,
            f"the tar that this command writes is not whole ({why}), and is not kept: "
            f"{commands[place]}",
            "Give the command again; a program that was cut off in a pipe (a | b) is "
            "not told by the exit status",
        )
    return tars_of(data, shards)


def _there(where: str, commands: Sequence[str], folder: Path) -> list[Path]:
    """The file of each command's shard, where all were read before."""
    paths = [_shard(folder, command) for command in commands]
    missing = sum(not path.exists() for path in paths)
    if missing:
        raise UserError(
            where,
            f"{missing} of {len(paths)} shards are not in {folder}, and a dry run runs "
            "no command",
            "Run it without --dry-run, which reads them once, or name tars that are on "
            "disk: tars:FILES",
        )
    return paths


def _drop_torn(shards: Sequence[Path], key: str | None) -> dict[int, str]:
    """Remove what is no whole tar; why, by the place of its command."""
    indices = index_shards(shards, key)
    torn = {place: index.torn for place, index in enumerate(indices) if index.torn}
    for place in torn:
        shards[place].unlink(missing_ok=True)
        _seal_of(shards[place]).unlink(missing_ok=True)
    return torn


def fetch(where: str, commands: Sequence[str], folder: Path) -> list[Path]:
    """The file of each command's shard, those that are missing read now."""
    drop_left(folder)  # of processes that died
    paths = [_shard(folder, command) for command in commands]
    missing = [place for place, path in enumerate(paths) if not _is_as_written(path)]
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
        _seal(paths[place])
    return paths


def _shard(folder: Path, command: str) -> Path:
    digest = blake2b(command.encode(), digest_size=12).hexdigest()
    return folder / f"{digest}.tar"


def _seal_of(path: Path) -> Path:
    """The file that says what a shard was when it was written."""
    return path.with_suffix(".json")


def _seal(path: Path) -> None:
    state = path.stat()
    stamp = {"bytes": state.st_size, "mtime_ns": state.st_mtime_ns}
    write_sealed(_seal_of(path), {**stamp, "sha256": digest_of(path)})


def _is_as_written(path: Path) -> bool:
    """Whether a shard is there, as its command wrote it.

    All of it is read only where its size or its time is another one.
    """
    if not path.exists():
        return False
    if not _seal_of(path).exists():  # killed before it was sealed: torn is torn
        _seal(path)
        return True
    try:
        read = read_sealed(_seal_of(path), SEAL, "")
    except UserError as error:
        read = Sealed({}, str(error))
    told, state = read.value, path.stat()
    if not read.fault and told["mtime_ns"] == state.st_mtime_ns:
        if told["bytes"] == state.st_size:
            return True
    if not read.fault and told["sha256"] == digest_of(path):
        _seal(path)
        return True
    log.warning("%s is not what its command wrote: it runs again", path)
    return False


def _read(where: str, command: str, path: Path) -> None:
    """Run one command, its output to `path`, whole or not at all."""
    with whole_file(path) as draft:
        code, complaint = _run(command, draft)
        if code:
            raise UserError(
                where,
                f"the command failed with {code}: {command}\n{complaint}",
                "Try it in a shell",
            )
        if not tarfile.is_tarfile(draft.name):
            raise UserError(
                where,
                f"what this command writes is no tar: {command}",
                "Compressed shards need a program that unpacks them: ... | gunzip",
            )


def _run(command: str, output: IO[bytes]) -> tuple[int, str]:
    """Run a command; returns its exit status and the end of its complaint.

    What it writes comes through us, so that all of `a | b` ends when we do.
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
            shutil.copyfileobj(process.stdout, output, PIECE)
            output.flush()
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        complaints.seek(0)
        return code, complaints.read().decode(errors="replace").strip()[-COMPLAINT:]
