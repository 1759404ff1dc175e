"""The captions in a column: texts, lists of them, or fields: ``said.en``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..config.load import as_setting
from ..errors import UserError, nearest
from ..quoting import shell
from .tables import CAPTION_NAMES, find_column, usual_column

TEXT = "text"
# what a column holds: `TEXT` or another word, fields by name, or a list of one kind
Kind = str | dict[str, "Kind"] | list["Kind"]
Field = tuple[str, ...]  # names of fields, each in the one before


def caption_column(
    where: str, named: str | None, kinds: Mapping[str, Kind]
) -> tuple[str, Field]:
    """The column of captions, and the field in it if it holds several.

    Args:
        named: a column, or ``column.field``; None looks for the usual names.
        kinds: what each column holds.

    Raises:
        UserError: there is none, or it holds something else; with what it holds.
    """
    if named is None:
        texts = [name for name, kind in kinds.items() if is_text(kind)]
        column = usual_column(texts, CAPTION_NAMES)
        column = column or find_column(kinds, None, CAPTION_NAMES, "caption", where)
        named = column
    column, field = split_field(named, kinds)
    if column is None:
        find_column(kinds, named, (), "caption", where)  # says that there is none
        raise AssertionError
    kind = kinds[column]
    for step in field:
        names = fields_of(kind)
        if step not in names:
            raise UserError(
                "data.caption_column",
                f"the column {column!r} of {where} holds {described(kinds[column])}, "
                f"and no {'.'.join(field)!r}",
                nearest(step, names) if names else f"Name it {column!r}",
            )
        kind = _step(kind, step)
    if not is_text(kind):
        raise no_text(where, named, kind)
    return column, field


def split_field(named: str, names: Collection[str]) -> tuple[str | None, Field]:
    """A column, and the field in it that is meant: names may hold dots themselves."""
    parts = named.split(".")
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in names:
            return name, tuple(parts[end:])
    return None, ()


def field_path(named: str, names: Collection[str]) -> Field:
    """The field that is meant, from the outermost name on."""
    column, field = split_field(named, names)
    return (named,) if column is None else (column, *field)


def value_at(cell: Any, field: Sequence[str]) -> Any:
    """What a cell holds under a field; of a list, what each of its items holds."""
    if not field or cell is None:
        return cell
    if isinstance(cell, (list, tuple)):
        return [value_at(item, field) for item in cell]
    return value_at(cell.get(field[0]), field[1:]) if isinstance(cell, dict) else None


def kind_of(value: Any) -> Kind:
    """What a value of JSON is; a list is of what its first item is."""
    if isinstance(value, dict):
        return {name: kind_of(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [kind_of(value[0])] if value else "nothing"
    return TEXT if isinstance(value, str) else type(value).__name__


def is_text(kind: Kind) -> bool:
    """Whether a column holds texts, or lists of texts."""
    return kind in (TEXT, [TEXT])


def fields_of(kind: Kind) -> list[str]:
    """The names in a kind that has fields, or lists of such."""
    inner = kind[0] if isinstance(kind, list) else kind
    return list(inner) if isinstance(inner, dict) else []


def _step(kind: Kind, name: str) -> Kind:
    if isinstance(kind, list):
        return [_step(kind[0], name)]
    assert isinstance(kind, dict), "`fields_of` has the name"
    return kind[name]


def described(kind: Kind) -> str:
    """What a column holds, in a few words."""
    if isinstance(kind, list):
        return f"lists of {described(kind[0])}"
    return f"{{{', '.join(kind)}}}" if isinstance(kind, dict) else kind


def no_text(where: str, column: str, kind: Kind, called: str = "column") -> UserError:
    """That a column is there and holds no captions; and which field of it may."""
    texts = [name for name in fields_of(kind) if is_text(_step(kind, name))]
    todo = "Name another with --set data.caption_column=NAME"
    if texts:
        setting = as_setting("data.caption_column", f"{column}.{texts[0]}")
        todo = f"Name the field: --set {shell(setting)}"
    return UserError(
        where, f"the {called} {column!r} holds {described(kind)}, not text", todo
    )
