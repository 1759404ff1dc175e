"""The sentences that zero-shot classification says of a class."""

from __future__ import annotations

from pathlib import Path

from ..bounded import read_bytes
from ..config.schema import Data
from ..errors import UserError
from .classes import CLASS_TEMPLATES
from .imagenet import SCHEME, imagenet_templates

WHERE = "data.templates"


def class_templates(
    data: Data, own: tuple[str, ...] = CLASS_TEMPLATES
) -> tuple[str, ...]:
    """Those that `data.templates` names, else the source's own.

    Raises:
        UserError: there are none of that name, or the file does not hold any.
    """
    if data.templates is None:
        return own
    if data.templates.startswith(SCHEME):
        return imagenet_templates(data.templates, WHERE)
    return read_templates(data.templates)


def read_templates(file: str) -> tuple[str, ...]:
    """The lines of a text file, each a sentence with one ``{}`` for the class.

    Raises:
        UserError: it cannot be read, is empty, or a line is no such sentence.
    """
    try:
        text = read_bytes(Path(file).expanduser()).decode("utf-8-sig")
    except OSError as error:
        raise UserError(WHERE, f"{file}: {error.strerror}", "Check the path") from None
    except UnicodeDecodeError:
        what = f"{file} is not UTF-8 text"
        raise UserError(WHERE, what, "Save it as UTF-8") from None
    lines = dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
    for line in lines:
        rest = line.replace("{}", "", 1)
        if rest == line or "{" in rest or "}" in rest:
            raise UserError(
                WHERE,
                f"{file}: {line[:60]!r} does not say where the name goes",
                "Write {} once in every line, like 'a photo of a {}.'",
            )
    if not lines:
        raise UserError(
            WHERE, f"{file} is empty", "Write lines like 'a photo of a {}.'"
        )
    return tuple(lines)
