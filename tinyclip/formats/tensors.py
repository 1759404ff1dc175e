"""A file of tensors, whoever wrote it; nothing in it is ever run (law 4)."""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..model.weights import LARGEST, read_weights, shown

log = logging.getLogger("tinyclip")
# keys under which trainers put the weights, those of open_clip and Lightning first
HOLDERS = ("state_dict", "model_state_dict", "model", "module")
SAVE = (
    "Where you trust it, save its state dict with safetensors.torch.save_file and name "
    "that file"
)
POINTER = b"version https://git-lfs"


def read_tensors(path: Path, most: int = LARGEST) -> dict[str, Tensor]:
    """The weights of a safetensors file, or of a pickle that holds plain tensors.

    Which of them a file is, its first bytes say, not its name.

    Args:
        most: bytes; a larger file is not read.

    Raises:
        UserError: it is missing, damaged, or a pickle that needs code.
    """
    if not path.is_file():
        here = "is no regular file" if path.exists() else "there is no such file"
        raise UserError(str(path), "is a folder" if path.is_dir() else here)
    if path.suffix in (".npz", ".npy"):
        raise UserError(
            str(path),
            "is a checkpoint of big_vision, which is not read",
            "Load it with open_clip, and save its state dict with "
            "safetensors.torch.save_file",
        )
    start = _start(path)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return _checked(read_weights(path, most), path)
    if path.stat().st_size > most:
        raise UserError(
            str(path),
            f"has {path.stat().st_size} bytes, where {most} are more than enough",
            SAVE,
        )
    _check_archive(path)
    return _weights(_unpickled(path), path)


def _start(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        UserError: it cannot be read, or holds something else than it should.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})") from None
    if not start:
        raise UserError(str(path), "is empty", "Copy or download it again")
    if start == POINTER:
        raise UserError(
            str(path),
            "is a pointer of Git LFS, not the weights themselves",
            "Fetch them: git lfs pull",
        )
    return start


def _unpickled(path: Path) -> Any:
    """What a pickle holds, where that needs no code.

    Raises:
        UserError: it needs some, or is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the protocol; the message says it all
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged pickle may raise anything
        # torch's own words advise to run the pickle after all: they are not passed on
        what = "is a pickle that needs code to load, which is never done, or is damaged"
        todo = SAVE
    if _is_program(path):
        what = "is a TorchScript program, as OpenAI's downloads are, and is never run"
        todo = SAVE.replace("its state dict", "torch.jit.load(FILE).state_dict()")
    raise UserError(str(path), what, todo)


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it holds; torch's are not packed.

    Raises:
        UserError: its entries are packed, or lie over each other.
    """
    if not zipfile.is_zipfile(path) or _is_program(path):  # that is never read
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch says that it is damaged
    size = path.stat().st_size
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > size:
        raise UserError(
            str(path), "is an archive that unpacks to more than it holds", SAVE
        )


def _is_program(path: Path) -> bool:
    """Whether a file is an archive with TorchScript code."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _weights(content: Any, path: Path, depth: int = 3) -> dict[str, Tensor]:
    """The state dict that a checkpoint is, or holds under a key.

    Args:
        depth: keys in each other that are followed.

    Raises:
        UserError: there is none.
    """
    if isinstance(content, Mapping):
        for holder in HOLDERS if depth else ():
            if not isinstance(content.get(holder), Mapping):
                continue
            _tell_others(content, holder, path)
            return _weights(content[holder], path, depth - 1)
        if all(map(_is_entry, content.items())):
            return _checked(dict(content), path)
    raise UserError(
        str(path),
        f"holds no state dict: {_kinds(content)}",
        "Save the state dict alone, with safetensors.torch.save_file",
    )


def _is_entry(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _checked(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    if not tensors:
        raise UserError(str(path), "holds no state dict: it has no tensors")
    odd = [name for name, value in tensors.items() if not _is_plain(value)]
    if odd:
        raise UserError(
            str(path),
            f"holds sparse or quantised tensors, or only shapes of some: {shown(odd)}",
            "Save plain tensors",
        )
    return tensors


def _is_plain(value: Tensor) -> bool:
    strided = value.layout == torch.strided
    return strided and not value.is_meta and not value.is_quantized


def _tell_others(content: Mapping[str, Any], holder: str, path: Path) -> None:
    """Say which other weights a checkpoint holds, such as averaged ones."""
    others = [
        _word(key)
        for key, value in content.items()
        if key != holder and isinstance(value, Mapping) and value
        if all(isinstance(tensor, Tensor) for tensor in value.values())
    ]
    if others:
        log.warning(
            "%s: its weights are those under '%s'; others lie under %s",
            path,
            holder,
            shown(others),
        )


def _word(key: Any) -> str:
    """A key, as a message tells it: what a pickle has for one may be of any size."""
    return key[:80] if isinstance(key, str) else f"a {type(key).__name__}"


def _kinds(content: Any) -> str:
    """What was found instead, in a few words."""
    if not isinstance(content, Mapping):
        return f"it is a {type(content).__name__}"
    kinds = [f"{_word(key)} ({type(value).__name__})" for key, value in content.items()]
    return f"it has {shown(kinds)}" if kinds else "it is empty"
