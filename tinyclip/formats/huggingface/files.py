"""The files of a transformers model: a directory, or the hub's copy of one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from ...bounded import read_settings
from ...errors import UserError
from ...hub import from_hub
from ..tensors import read_tensors

CONFIG, ONE = "config.json", "model.safetensors"
OPENCLIP = "open_clip_config.json"  # by which a folder of open_clip is known
INDEX, PICKLE = "model.safetensors.index.json", "pytorch_model.bin"
# nothing else is fetched: a repository may hold the same weights in many formats
WANTED = [
    CONFIG,
    ONE,
    INDEX,
    "model-*-of-*.safetensors",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "README.md",  # its licence stands there
]
# an id on the hub: one or two names, no dots at the front
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def model_folder(spec: str, where: str) -> Path:
    """The directory of a model that is a path, or an id on the hub.

    Raises:
        UserError: it is neither, or cannot be fetched.
    """
    path = Path(os.path.expanduser(spec))  # noqa: PTH111 (Path's raises)
    if spec and path.is_dir():
        return path
    if path.is_symlink() and not path.exists():
        raise UserError(where, f"{spec} is a link that leads nowhere")
    if path.is_file():
        raise UserError(where, f"{spec} is a file", "Name the directory it lies in")
    if not HUB_ID.fullmatch(spec):
        raise UserError(
            where,
            f"hf:{spec} is no directory, and no id of the hub either",
            "Write hf:DIR or hf:OWNER/NAME",
        )

    def fetch(cached: bool) -> Path:
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(spec, allow_patterns=WANTED, local_files_only=cached)
        )
        if cached and not _is_whole(folder):
            raise FileNotFoundError(f"{folder} is not whole")
        return folder

    return from_hub(
        fetch,
        where,
        f"hf:{spec}",
        "Without a network, copy the model's files to this machine and write hf:DIR",
    )


def _is_whole(folder: Path) -> bool:
    """Whether the hub's cache has a model's configuration and all its weights."""
    if not (folder / CONFIG).exists():
        return False
    if not (folder / INDEX).exists():
        return (folder / ONE).exists()
    return all((folder / name).exists() for name in _shards(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says.

    Raises:
        UserError: it is missing, damaged, or says nothing of a model.
    """
    if not (folder / CONFIG).exists() and (folder / OPENCLIP).exists():
        raise UserError(
            str(folder), "is a folder of open_clip", f"Write openclip:{folder}"
        )
    config = read_settings(folder / CONFIG)
    if "format_version" in config:
        raise UserError(
            str(folder), "is a model directory of tinyclip", "Write it without hf:"
        )
    return config


def read_state(folder: Path, most: int) -> dict[str, Tensor]:
    """Every weight of a model: one safetensors file, shards of it, or plain tensors
    in a pickle, of which nothing is run (law 4).

    Args:
        most: bytes of a file; a larger one is not read.

    Raises:
        UserError: there are none, or a file is missing or damaged.
    """
    if (folder / ONE).exists():
        return read_tensors(folder / ONE, most)
    if (folder / INDEX).exists():
        state: dict[str, Tensor] = {}
        for name in _shards(folder):
            state |= read_tensors(folder / name, most)
        return state
    if (folder / PICKLE).exists():
        return read_tensors(folder / PICKLE, most)
    todo = "Save the model with save_pretrained"
    if (folder / OPENCLIP).exists():
        todo = f"open_clip's lie there: write openclip:{folder}"
    raise UserError(str(folder), f"has no weights ({ONE}, {INDEX} or {PICKLE})", todo)


def _shards(folder: Path) -> list[str]:
    """The files that an index names.

    Raises:
        UserError: it names none, or one outside the folder.
    """
    named = read_settings(folder / INDEX).get("weight_map")
    names = list(named.values()) if isinstance(named, dict) else []
    if not names or not all(map(_is_bare, names)):
        raise UserError(
            str(folder / INDEX), "names no files of its folder", "Copy it again"
        )
    return sorted(set(names))


def _is_bare(name: Any) -> bool:
    """Whether it is the name of a file, and of none in another folder."""
    return isinstance(name, str) and name != ".." and Path(name).name == name
