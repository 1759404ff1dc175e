"""`--set a.b=v`: one setting of a recipe changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass, replace
from typing import Any, get_args

from ..errors import UserError, nearest
from .check import item_hints, leaf
from .objectives import WEIGHT
from .place import Place
from .schema import Recipe
from .setting import optional, settings_of

PATH = re.compile(r"\w+(?:\.\w+|\[(?:\d+|\*)\])*")
FORM = "Write it as a.b=value, e.g. stages[*].batch=64"


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`; `losses` tables are replaced, not mixed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        mixed = both and key != "losses"
        merged[key] = merge(merged[key], value) if mixed else value
    return merged


def split_setting(setting: str) -> tuple[list[str], str]:
    """The keys of `a[0].b=v`, and the text of its value.

    Raises:
        UserError: it is not of that form.
    """
    path, equals, text = setting.partition("=")
    if not equals or not PATH.fullmatch(path.strip()):
        raise UserError(f"--set {setting}", "is not of the form a.b=value", FORM)
    return re.findall(r"\w+|\*", path), text


def override(recipe: Recipe, keys: list[str], value: Any, where: Place) -> Recipe:
    """The recipe with one setting changed.

    Args:
        keys: the way to it: names, positions in lists, or `*` for all of a list.
        value: plain values.
        where: the `--set` that asked for it.

    Raises:
        UserError: there is no such setting, or the value does not fit it.
    """
    changed: Recipe = _put(Recipe, recipe, keys, value, where, {})
    if any(stage.use for stage in changed.stages):
        raise UserError(
            str(where),
            "`use` cannot be changed here",
            "Set what should differ, or edit a copy: tinyclip recipes copy NAME",
        )
    return changed


def _put(
    hint: Any,
    owner: Any,
    keys: list[str],
    value: Any,
    where: Place,
    bounds: Mapping[str, Any],
) -> Any:
    """`owner`, which is of the hinted type, with an inner setting changed."""
    if not keys:
        if is_dataclass(owner) and isinstance(value, Mapping):
            value = merge(asdict(owner), value)  # type: ignore[arg-type]
        return leaf(hint, value, where, bounds)
    hint, _ = optional(hint)
    head, rest = keys[0], keys[1:]
    if isinstance(owner, tuple):
        if head != "*" and not (head.isdecimal() and int(head) < len(owner)):
            last = f"Use 0 to {len(owner) - 1}, or * for all"
            raise UserError(str(where), f"there is no [{head}]", last)
        return tuple(
            _put(kind, inner, rest, value, where, bounds)
            if head == "*" or int(head) == index
            else inner
            for index, (kind, inner) in enumerate(
                zip(item_hints(hint, len(owner)), owner, strict=True)
            )
        )
    if isinstance(owner, dict) and len(rest) < 2:
        if rest:
            before = owner.get(head, {})
            table = before if isinstance(before, dict) else {WEIGHT: before}
            value = {**table, rest[0]: value}
        return {**owner, head: leaf(get_args(hint)[1], value, where, bounds)}
    if not is_dataclass(owner):
        raise UserError(str(where), f"there is nothing inside to call {head!r}", FORM)
    settings = settings_of(type(owner))
    if head not in settings:
        raise UserError(str(where), f"unknown key {head!r}", nearest(head, settings))
    entry, inner_hint = settings[head]
    changed = _put(inner_hint, vars(owner)[head], rest, value, where, entry.metadata)
    return replace(owner, **{head: changed})  # type: ignore[type-var]
