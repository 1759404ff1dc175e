"""Plain values to frozen settings, every leaf checked against its type and bounds."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from numbers import Integral, Real
from reprlib import Repr
from typing import Any, Literal, TypeVar, get_args, get_origin

from ..errors import UserError, nearest
from .objectives import WEIGHT, Asked, options_of
from .place import Place
from .setting import optional, settings_of

T = TypeVar("T")
Check = Callable[[Any, Any], bool]
BOUNDS: dict[str, tuple[Check, str]] = {
    "low": (lambda value, bound: value >= bound, "at least"),
    "high": (lambda value, bound: value <= bound, "at most"),
    "above": (lambda value, bound: value > bound, "more than"),
    "below": (lambda value, bound: value < bound, "less than"),
}
WANTED = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
# a number to everyone but YAML 1.1, which wants a dot and a signed exponent
SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d*)?)e([+-]?)(\d+)", re.IGNORECASE)
# a value is shown, never a whole tree of them (aliases can make a small file huge)
_short = Repr()
_short.maxstring = _short.maxother = 60
_short.maxlevel = 2


def resolve(kind: type[T], value: Any, where: Place) -> T:
    """A frozen dataclass from plain values.

    Raises:
        UserError: an unknown key, a wrong type, a value out of bounds.
    """
    if not isinstance(value, Mapping):
        raise UserError(str(where), f"wants settings by name, not {in_words(value)}")
    settings = settings_of(kind)
    values = {}
    for key, inner in value.items():
        if key not in settings:
            raise UserError(str(where), f"unknown key {key!r}", nearest(key, settings))
        entry, hint = settings[key]
        values[key] = leaf(hint, inner, where.key(key), entry.metadata)
    return kind(**values)


def in_words(value: Any) -> str:
    """A value of the wrong type, as a message shows it."""
    if value is None:
        return "nothing"
    shown: str = _short.repr(value)
    for kind, name in ((str, "text"), (list, "list"), (dict, "settings")):
        if isinstance(value, kind):
            return f"the {name} {shown}"
    return shown


def item_hints(hint: Any, count: int) -> list[Any]:
    """The type of each of `count` entries of a tuple type."""
    args = get_args(hint)
    endless = len(args) == 2 and args[1] is Ellipsis
    return [args[0]] * count if endless else list(args)


def leaf(hint: Any, value: Any, where: Place, bounds: Mapping[str, Any]) -> Any:
    """One value of the hinted type, its numbers within the bounds.

    Raises:
        UserError: it is of another type, or out of bounds.
    """
    hint, may_be_none = optional(hint)
    if value is None and may_be_none:
        return None
    if is_dataclass(hint):
        plain = asdict(value) if isinstance(value, hint) else value  # type: ignore[arg-type]
        return resolve(hint, plain, where)  # type: ignore[arg-type]
    if hint == Asked:
        return _asked(value, where, bounds)
    if get_origin(hint) is Literal:
        return _choice(get_args(hint), value, where)
    if get_origin(hint) is tuple:
        return _sequence(hint, value, where, bounds)
    if get_origin(hint) is dict:
        return _table(hint, value, where, bounds)
    if "among" in bounds:
        value = bounds["spelled"](value) if "spelled" in bounds else value
        return _choice(bounds["among"](), value, where)
    scalar = _scalar(hint, value, where)
    if not isinstance(scalar, str):
        _check_bounds(bounds, scalar, where)
    return scalar


def _choice(choices: Iterable[str], value: Any, where: Place) -> Any:
    names = list(choices)
    if not isinstance(value, str) or value not in names:
        raise UserError(
            str(where), f"cannot be {in_words(value)}", nearest(value, names)
        )
    return value


def _asked(value: Any, where: Place, bounds: Mapping[str, Any]) -> Asked:
    """An objective's weight; with options, if it is given any."""
    if not isinstance(value, Mapping):
        return float(leaf(float, value, where, bounds))
    table = _table(dict[str, object], value, where, bounds)
    weight = float(leaf(float, table.get(WEIGHT, 1.0), where.key(WEIGHT), bounds))
    options = options_of(table)
    # a weight alone is the same recipe, however it was written
    return {WEIGHT: weight, **options} if options else weight


def _sequence(
    hint: Any, value: Any, where: Place, bounds: Mapping[str, Any]
) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise UserError(str(where), f"wants a list, not {in_words(value)}")
    hints = item_hints(hint, len(value))
    if len(value) != len(hints):
        raise UserError(str(where), f"wants {len(hints)} values, not {len(value)}")
    return tuple(
        leaf(kind, inner, where.item(index), bounds)
        for index, (kind, inner) in enumerate(zip(hints, value, strict=True))
    )


def _table(
    hint: Any, value: Any, where: Place, bounds: Mapping[str, Any]
) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(str(where), f"wants numbers by name, not {in_words(value)}")
    kind = get_args(hint)[1]
    for key in value:
        if not isinstance(key, str):
            raise UserError(str(where), f"wants names as keys, not {in_words(key)}")
    if kind is object:  # whoever knows these names checks what they stand for
        return dict(value)
    return {k: leaf(kind, v, where.key(k), bounds) for k, v in value.items()}


def _scalar(kind: Any, value: Any, where: Place) -> Any:
    if kind is float and type(value) is int:
        # YAML's 1 is a fine 1.0; one that no float holds is not finite
        value = float(value) if abs(value) < 2**1000 else math.inf
    value = _own_number(kind, value)
    if type(value) is not kind:
        hint = _yaml_number(value) if kind is float else ""
        raise UserError(
            str(where), f"wants {WANTED[kind]}, not {in_words(value)}", hint
        )
    if kind is float and not math.isfinite(value):
        raise UserError(str(where), f"wants a finite number, not {value}")
    return value


def _own_number(kind: Any, value: Any) -> Any:
    """A number of another library, NumPy's say, as Python's own."""
    if isinstance(value, bool):
        return value
    if kind is int and isinstance(value, Integral):
        return operator.index(value)
    return float(value) if kind is float and isinstance(value, Real) else value


def _yaml_number(value: Any) -> str:
    """How YAML wants a number that it read as text, if it is one."""
    match = SCIENTIFIC.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        return ""
    digits, sign, power = match.groups()
    digits += "" if "." in digits else ".0"
    return f"YAML reads it as text: write {digits}e{sign or '+'}{power}"


def _check_bounds(bounds: Mapping[str, Any], value: Any, where: Place) -> None:
    for name, (fine, words) in BOUNDS.items():
        bound = bounds.get(name)
        if bound is not None and not fine(value, bound):
            raise UserError(str(where), f"must be {words} {bound:g}, not {value!r}")
