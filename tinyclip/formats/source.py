"""The strings that name a model, and the model behind each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from ..files import expanded
from ..model.store import Loaded, load_model
from ..model.weights import shown
from ..quoting import shell
from .beside import READERS
from .format import FOREIGN

SCHEMES = ("builtin", "hf", "openclip", "run")
OPTIONS = ("tokenizer",)
LONGEST = 60  # characters of a source that cannot be one
OPTION = re.compile(r",\s*(\w+)=([^,]*)$")


def load(source: str | Path) -> Loaded:
    """A model, its preprocess and its tokenizer, from a directory or a source.

    `model, preprocess, tokenizer = tinyclip.load("runs/demo/model")`

    Raises:
        UserError: the source is unknown, missing, damaged or not supported.
    """
    return load_source(str(source), "load")


@contextmanager
def looked_at(spec: str, where: str) -> Iterator[None]:
    """Tell of a path that cannot even be looked at: too long, or behind a closed door.

    Raises:
        UserError: the system refuses.
    """
    try:
        yield
    except OSError as error:
        short = spec if len(spec) <= LONGEST else f"{spec[:LONGEST]}..."
        what = f"{short!r} cannot be looked at ({error.strerror})"
        raise UserError(where, what) from None


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
    with looked_at(spec, where):
        return _load(spec, where)


def _load(spec: str, where: str) -> Loaded:
    source, options = split_options(spec, where)
    scheme, colon, rest = source.partition(":")
    if colon and scheme in LOADERS:
        return _with_options(LOADERS[scheme](rest, where, options), options)
    if source and expanded(source).is_dir():
        from .registry import recognise

        format_ = recognise(expanded(source))
        if format_ is not None:
            loaded = format_.read(expanded(source), where, options)
            return _with_options(loaded, options)
    if options:
        raise UserError(where, f"{source} has its own tokenizer", FOREIGN)
    if colon and scheme == "builtin":
        from .embedded import load_builtin

        return load_builtin(rest, where)
    return load_model(folder_of(source, where))


def _load_huggingface(rest: str, where: str, options: dict[str, str]) -> Loaded:
    from .huggingface.load import load_huggingface

    return load_huggingface(rest, where, **options)


def _load_openclip(rest: str, where: str, options: dict[str, str]) -> Loaded:
    from .openclip.load import load_openclip

    return load_openclip(rest, where, **options)


# who reads what follows a scheme; nothing of a library is imported for another's
LOADERS: dict[str, Callable[[str, str, dict[str, str]], Loaded]] = {
    "hf": _load_huggingface,
    "openclip": _load_openclip,
    # as open_clip itself is told
    "local-dir": lambda rest, *more: _load_openclip(f"local-dir:{rest}", *more),
    "hf-hub": lambda rest, *more: _load_openclip(f"hf-hub:{rest}", *more),
}


def _with_options(loaded: Loaded, options: dict[str, str]) -> Loaded:
    """The model, whose provenance tells what was taken from elsewhere."""
    if not options:
        return loaded
    provenance = {**loaded.config["provenance"], **options}
    return replace(loaded, config={**loaded.config, "provenance": provenance})


def split_options(spec: str, where: str) -> tuple[str, dict[str, str]]:
    """A source and what follows it: `openclip:NAME,tokenizer=PATH`.

    Raises:
        UserError: an option is unknown, empty or given twice.
    """
    options: dict[str, str] = {}
    while not Path(spec).exists() and (match := OPTION.search(spec)):
        name, value = match.groups()
        if name not in OPTIONS:
            raise UserError(
                where, f"unknown option {name!r} of a source", nearest(name, OPTIONS)
            )
        if not value or name in options:
            what = "is given twice" if name in options else "has no value"
            raise UserError(where, f"{name}= {what} in {spec!r}")
        options[name], spec = value, spec[: match.start()]
    return spec, options


def json_of(spec: str, name: str) -> dict[str, Any] | None:
    """What the certificate or the metrics of a model directory say; None if it has
    none, as a source has that is no directory.

    Raises:
        UserError: the file is damaged.
    """
    path = expanded(spec.removeprefix("run:"))
    folder = path if (path / "config.json").exists() else path / "model"
    return READERS[name](folder)


def folder_of(spec: str, where: str) -> Path:
    """The model directory that a source names: it, or that of a run.

    Raises:
        UserError: there is none.
    """
    scheme, colon, rest = spec.partition(":")
    if colon and scheme == "run":
        if not rest:
            raise UserError(where, "run: names no run", "Write run:DIR")
        return _model_of_run(expanded(rest), where)
    path = expanded(spec)
    if spec and path.is_dir():
        return path if (path / "config.json").exists() else _model_of_run(path, where)
    if colon and "/" not in scheme:
        raise UserError(
            where, f"unknown source {scheme!r} in {spec!r}", nearest(scheme, SCHEMES)
        )
    if path.is_symlink():
        raise UserError(where, f"{spec!r} is a link that leads nowhere")
    if path.is_file():
        raise UserError(
            where,
            f"{spec!r} is a file",
            "Name the model directory that it lies in; of weights of open_clip, write "
            + shell(f"openclip:NAME@{spec}"),
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
    from .openclip.layout import SUFFIXES

    inside = sorted(entry.name for entry in path.iterdir())
    todo = "Name a model directory, or a folder of open_clip or transformers"
    if any(name.endswith(SUFFIXES) for name in inside):
        todo = f"If its weights are open_clip's, write {shell(f'openclip:NAME@{path}')}"
    here = f"it holds {shown(inside)}" if inside else "it is empty"
    raise UserError(where, f"{path} has no model: {here}", todo)
