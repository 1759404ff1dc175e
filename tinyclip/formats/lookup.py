"""The model behind an argument, opened or described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .describe import describe_loaded
from .format import Opened
from .pytorch import opened
from .registry import FORMATS, recognise
from .source import load_source, looked_at


def open_model(name: str, where: str = "MODEL") -> Opened:
    """The model behind an argument: a folder of a format, a run, or another source.

    Raises:
        UserError: it cannot be loaded.
    """
    with looked_at(name, where):
        format_ = recognise(Path(name))
    if format_ is None:
        return opened(load_source(name, where))
    return format_.load(Path(name), where)


def describe_model(name: str, where: str = "MODEL") -> dict[str, Any]:
    """What `inspect` tells of a model: an exported folder, a run's, or another source.

    Raises:
        UserError: it cannot be read.
    """
    with looked_at(name, where):
        return _described(name, where)


def _described(name: str, where: str) -> dict[str, Any]:
    """As `describe_model`; of `hf:`, only what transformers reads is looked at."""
    guest = FORMATS["huggingface"]
    folder = Path(name.removeprefix("hf:"))
    if name.startswith("hf:") and folder.is_dir() and guest.recognises(folder):
        return guest.describe(folder)
    path = Path(name.removeprefix("run:"))
    for folder in (path, path / "model"):
        if (format_ := recognise(folder)) is not None:
            return format_.describe(folder)
    return describe_loaded(load_source(name, where))
