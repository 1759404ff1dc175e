"""The strings that name a model, and the model behind each."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from ..files import read_json
from ..model.store import Loaded, load_model
from ..model.weights import shown
from .embedded import load_builtin
from .huggingface.load import load_huggingface
from .openclip.folder import CONFIG as OPENCLIP
from .openclip.folder import OWN_WEIGHTS, SUFFIXES
from .openclip.load import load_openclip
from .openclip.spec import HF_HUB, LOCAL_DIR, expanded

SCHEMES = ("builtin", "hf", "openclip", "run")
OPTIONS = ("tokenizer",)
OPTION = re.compile(r",\s*(\w+)=([^,]*)$")


def load(source: str | Path) -> Loaded:
    """A model, its preprocess and its tokenizer, from a directory or a source.

    `model, preprocess, tokenizer = tinyclip.load("runs/demo/model")`

    Raises:
        UserError: the source is unknown, missing, damaged or not supported.
    """
    return load_source(str(source), "load")


def load_source(spec: str, where: str = "--teacher") -> Loaded:
    """The model behind a source.

    Args:
        spec: `builtin:NAME`, `openclip:NAME[/TAG]`, `openclip:NAME@PATH`,
            `openclip:PATH`, `openclip:hf-hub:ORG/NAME`, `hf:ID_OR_DIR`, `run:DIR`, or
            a directory: of a model, of a run, of open_clip or of transformers. After
            what open_clip and transformers read may follow `,tokenizer=PATH`.
        where: the option or key that named it, for the message.

    Raises:
        UserError: the source is unknown, missing, damaged or not supported.
    """
    source, options = split_options(spec, where)
    scheme, rest = reader_of(source, where)
    if scheme == "openclip":
        loaded = load_openclip(rest, where, **options)
    elif scheme == "hf":
        loaded = load_huggingface(rest, where, **options)
    elif options:
        raise UserError(
            where,
            f"{source} has its own tokenizer",
            "tokenizer=PATH is for models of open_clip and transformers",
        )
    elif scheme == "builtin":
        return load_builtin(rest, where)
    else:
        return load_model(folder_of(source, where))
    made = {**loaded.config["provenance"], **options}
    return replace(loaded, config={**loaded.config, "provenance": made})


def reader_of(source: str, where: str) -> tuple[str, str]:
    """Which scheme reads a source, and what it is to read.

    A directory without a scheme says by its files whose it is; open_clip's weights are
    read where transformers' lie beside them. The scheme is empty for a model directory
    or a run, and for what is nothing.

    Raises:
        UserError: it is an export that cannot be loaded as a model.
    """
    scheme, colon, rest = source.partition(":")
    if colon and scheme in SCHEMES:
        return scheme, rest
    if source.startswith((LOCAL_DIR, HF_HUB)):  # as open_clip itself is told
        return "openclip", source
    folder = expanded(source)
    if not source or not folder.is_dir():
        return "", source
    kind = _kind_of(folder, where)
    return kind, str(folder)


def _kind_of(folder: Path, where: str) -> str:
    """The scheme for a directory.

    Raises:
        UserError: it is an export to ONNX.
    """
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    if not isinstance(config, dict):
        config = {}
    if config.get("format") == "onnx":
        raise UserError(
            where,
            f"{folder} is an export to ONNX, which has no weights to go on with",
            "Name the model that it was made of",
        )
    if "format_version" in config:
        return ""
    guest = "hf" if "model_type" in config else ""
    if not (folder / OPENCLIP).is_file():
        return guest
    own = any((folder / name).is_file() for name in OWN_WEIGHTS)
    return "openclip" if own or not guest else guest


def split_options(spec: str, where: str) -> tuple[str, dict[str, str]]:
    """A source and what follows it: `openclip:NAME,tokenizer=PATH`.

    Raises:
        UserError: an option is unknown, empty or given twice.
    """
    options: dict[str, str] = {}
    while not Path(spec).exists() and (found := OPTION.search(spec)):
        name, value = found.groups()
        if name not in OPTIONS:
            raise UserError(
                where, f"unknown option {name!r} of a source", nearest(name, OPTIONS)
            )
        if not value or name in options:
            what = "is given twice" if name in options else "has no value"
            raise UserError(where, f"{name}= {what} in {spec!r}")
        options[name], spec = value, spec[: found.start()]
    return spec, options


def beside(spec: str, name: str) -> dict[str, Any] | None:
    """What a JSON file of a model directory says; None if it has none.

    A source that is no directory has none.
    """
    path = expanded(spec.removeprefix("run:"))
    folder = path if (path / "config.json").exists() else path / "model"
    return read_json(folder / name) if (folder / name).exists() else None


def folder_of(spec: str, where: str) -> Path:
    """The model directory that a source names: it, or that of a run.

    Raises:
        UserError: there is none.
    """
    scheme, colon, rest = spec.partition(":")
    if colon and scheme == "run":
        return _model_of_run(expanded(rest), where)
    path = expanded(spec)
    if spec and path.is_dir():
        return path if (path / "config.json").exists() else _model_of_run(path, where)
    if colon and "/" not in scheme:
        raise UserError(
            where, f"unknown source {scheme!r} in {spec!r}", nearest(scheme, SCHEMES)
        )
    if path.is_file():
        raise UserError(
            where,
            f"{spec!r} is a file",
            "Name the model directory that it lies in; of weights of open_clip, write "
            f"openclip:NAME@{spec}",
        )
    raise UserError(
        where,
        f"{spec!r} is not a model directory",
        "Name a directory, or a source such as openclip:ViT-B-32@FILE",
    )


def _model_of_run(path: Path, where: str) -> Path:
    if not path.is_dir():
        raise UserError(where, f"{path} does not exist")
    if (path / "model" / "config.json").exists():
        return path / "model"
    if (path / "recipe.yaml").exists():
        raise UserError(
            where,
            f"{path} is an unfinished run",
            "Name a stage's model directory instead",
        )
    inside = sorted(one.name for one in path.iterdir())
    todo = "Name a model directory, or a folder of open_clip or transformers"
    if any(name.endswith(SUFFIXES) for name in inside):
        todo = f"If its weights are open_clip's, write openclip:NAME@{path}"
    here = f"it holds {shown(inside)}" if inside else "it is empty"
    raise UserError(where, f"{path} has no model: {here}", todo)
