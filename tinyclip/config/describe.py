"""Settings in words: YAML with the help as comments, and tables for the documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin

from .check import WANTED
from .load import dump, recipe_to_dict
from .objectives import Losses
from .schema import Recipe, Stage
from .setting import bounds_in_words, default_of, inner_kind, optional, settings_of


def commented_yaml(value: Recipe | Stage) -> str:
    """The recipe (or stage) as YAML that loads back equal, each setting explained.

    Of several stages the first one has the comments.
    """
    return "\n".join([*_lines(type(value), recipe_to_dict(value), commented=True), ""])


def _lines(kind: type, plain: dict[str, Any], commented: bool) -> Iterator[str]:
    for name, (entry, hint) in settings_of(kind).items():
        if name not in plain:
            continue
        words = entry.metadata["help"]
        allowed = bounds_in_words(hint, entry.metadata)
        comment = f"{words} ({allowed})" if allowed else words
        yield from _setting(name, hint, plain[name], comment if commented else "")


def _setting(name: str, hint: Any, plain: Any, comment: str) -> Iterator[str]:
    """The lines of one setting, its comment on the first one that has room for it."""
    commented, inner = bool(comment), inner_kind(hint)
    if inner is None or not plain:
        first, *rest = _leaf(name, plain)
        if rest and commented:  # text over several lines has no room for it
            yield f"# {comment}"
            comment = ""
    elif isinstance(plain, list):
        first, rest = f"{name}:", []
        for number, item in enumerate(plain):
            lines = list(_lines(inner, item, commented and number == 0))
            rest += [f"- {lines[0]}", *(f"  {line}" for line in lines[1:])]
    else:
        first = f"{name}:"
        rest = [f"  {line}" for line in _lines(inner, plain, commented)]
    yield f"{first}  # {comment}" if comment else first
    yield from rest


def _leaf(name: str, plain: Any) -> list[str]:
    if isinstance(plain, list | dict):
        return f"{name}: {dump(plain, flow=True)}".rstrip("\n").split("\n")
    return dump({name: plain}).rstrip("\n").split("\n")


def table(kind: type) -> str:
    """A settings class as a table in Markdown."""
    rows = ["| setting | default | allowed | what it is |", "|---|---|---|---|"]
    for name, (entry, hint) in settings_of(kind).items():
        cells = (
            f"`{name}`",
            _default(default_of(entry)),
            _allowed(hint, entry.metadata),
            entry.metadata["help"],
        )
        rows.append(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        )
    return "\n".join(rows)


def _default(value: Any) -> str:
    first = value[0] if value and isinstance(value, tuple) else value
    # settings inside settings have a table of their own
    return "" if is_dataclass(first) else f"`{json.dumps(value)}`"


def _allowed(hint: Any, metadata: Any) -> str:
    """The type and bounds of a setting, as people say them."""
    bounds = bounds_in_words(hint, metadata)
    section, (hint, may_be_none) = inner_kind(hint), optional(hint)
    listed = get_origin(hint) is tuple
    if section is not None:
        link = f"[{section.__name__}](#{section.__name__.lower()})"
        return f"a list of {link}" if listed else link
    if hint == Losses:
        return f"numbers by name, {bounds}"
    kind = WANTED.get(hint, "")
    if listed:
        kind = (
            "a list" if Ellipsis in get_args(hint) else f"{len(get_args(hint))} numbers"
        )
    elif " | " in bounds:  # the names say enough
        kind = ""
    words = ", ".join(part for part in (kind, bounds) if part)
    return f"{words}, or null" if may_be_none else words
