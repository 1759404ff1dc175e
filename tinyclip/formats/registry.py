"""The formats that a model can be written to and read from: one line each."""

from __future__ import annotations

from pathlib import Path

from ..dtypes import short_name
from ..errors import UserError, nearest
from .format import Format, Option
from .huggingface.format import HuggingFace
from .onnx.format import Onnx
from .openclip.format import OpenClip
from .safetensors.format import Safetensors

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (Safetensors(), OpenClip(), HuggingFace(), Onnx())
}


def get(name: str, where: str) -> Format:
    """The format of a name.

    Raises:
        UserError: there is none; `where` named it.
    """
    if name not in FORMATS:
        raise UserError(where, f"unknown format {name!r}", nearest(name, FORMATS))
    return FORMATS[name]


def recognise(folder: Path) -> Format | None:
    """The format of a folder, of several the first; None where it is of none."""
    if not folder.is_dir():
        return None
    return next(
        (format_ for format_ in FORMATS.values() if format_.recognises(folder)), None
    )


def options() -> dict[str, list[tuple[Format, Option]]]:
    """Every option by its name, with the formats that have it."""
    offered: dict[str, list[tuple[Format, Option]]] = {}
    for format_ in FORMATS.values():
        for option in format_.options:
            offered.setdefault(option.name, []).append((format_, option))
    return offered


def checked_options(to: Format, chosen: dict[str, str]) -> dict[str, str]:
    """The options as the format spells them; refused where it does not have one, or
    not that choice.

    Raises:
        UserError: there is one.
    """
    own = {option.name: option for option in to.options}
    asked = {name: short_name(value) for name, value in chosen.items()}
    for name, value in asked.items():
        if name in own and value in own[name].choices:
            continue
        where = f"--{name}"
        if name in own:
            what = f"{value!r} is none of --to {to.name}"
            raise UserError(where, what, nearest(value, own[name].choices))
        others = [f"--to {format_.name}" for format_, _ in options().get(name, ())]
        if not others:
            raise UserError(where, "unknown option", nearest(name, options()))
        what = f"is for {' and '.join(others)}, not for --to {to.name}"
        raise UserError(where, what, "Leave it out")
    return asked
