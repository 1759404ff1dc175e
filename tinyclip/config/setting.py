"""One setting: its default, its one-line help, and the bounds it is checked against."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, asdict, field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Names = Callable[[], Iterable[str]]


def setting(
    default: Any,
    words: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    among: Names | None = None,
    spelled: Callable[[Any], Any] | None = None,
    later: bool = False,
) -> Any:
    """A field of a settings class.

    Args:
        default: its value where nobody says otherwise; a table is copied each time.
        words: the one-line help, as `recipes show` and docs/settings.md print it.
        low, high: the least and the most that is allowed.
        above, below: what is just not allowed any more.
        among: the names that a text may be, asked for when one is checked.
        later: it came when runs were already stored, which have its default.
        spelled: gives the name that another spelling stands for.
    """
    bounds = {"low": low, "high": high, "above": above, "below": below}
    names = {"among": among, "spelled": spelled}
    metadata: dict[str, Any] = {"help": words, "later": later}
    metadata.update(
        (name, value)
        for name, value in {**bounds, **names}.items()
        if value is not None
    )
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def optional(hint: Any) -> tuple[Any, bool]:
    """The type without its `None`, and whether it had one."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(inner) == 1:
            return inner[0], True
    return hint, False


def choices(hint: Any) -> tuple[str, ...]:
    """The names that a type allows; none for one that allows any."""
    hint, _ = optional(hint)
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
    return get_args(hint) if get_origin(hint) is Literal else ()


def bounds_in_words(hint: Any, metadata: Mapping[str, Any]) -> str:
    """What a value may be, as people say it: `0 to 1`, `encoder | total`."""
    names = choices(hint)
    if "among" in metadata:
        names = tuple(metadata["among"]())
    if names:
        return " | ".join(names)
    low, high = metadata.get("low"), metadata.get("high")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    phrases = {"low": "at least", "above": "above", "high": "at most", "below": "below"}
    parts = [f"{word} {metadata[n]:g}" for n, word in phrases.items() if n in metadata]
    return ", ".join(parts)


def default_of(entry: Field[Any]) -> Any:
    """The value of a field that nobody sets."""
    if entry.default is not MISSING:
        return entry.default
    assert entry.default_factory is not MISSING, "every setting has a default"
    return entry.default_factory()


def without_later(kind: type, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings without those that came later, where they are at their default.

    So a recipe comes to what it came to before there were any.
    """
    kept = {}
    for name, (entry, hint) in settings_of(kind).items():
        if name not in plain:
            continue
        value, inner = plain[name], inner_kind(hint)
        if entry.metadata.get("later") and value == _as_plain(default_of(entry)):
            continue
        if inner is not None and isinstance(value, Mapping):
            value = without_later(inner, value)
            if not value:  # as a class without settings, which is not written
                continue
        elif inner is not None and isinstance(value, list):
            value = [without_later(inner, item) for item in value]
        kept[name] = value
    return kept


def _as_plain(default: Any) -> Any:
    return json.loads(json.dumps(default, default=asdict))


def settings_of(kind: type) -> dict[str, tuple[Field[Any], Any]]:
    """The fields of a settings class with their types, by name."""
    hints = get_type_hints(kind)
    return {entry.name: (entry, hints[entry.name]) for entry in fields(kind)}


def inner_kind(hint: Any) -> type | None:
    """The settings class that a type holds one or many of, if it does."""
    hint, _ = optional(hint)
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
    return hint if is_dataclass(hint) and isinstance(hint, type) else None
