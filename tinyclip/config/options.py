"""Settings that come as values of Python or as words of a command line.

They go through the checker that YAML goes through, and a message names what was typed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, get_origin

from .ladder import check_descent
from .override import override
from .place import Option, Place
from .schema import Recipe
from .setting import choices, optional, settings_of


def with_values(recipe: Recipe, values: Mapping[str, Any], caller: str) -> Recipe:
    """The recipe with settings of its own changed.

    Args:
        values: by name: plain values, paths, or frozen settings; a table changes what
            it names, and text for `data` is its source.
        caller: what messages begin with.

    Raises:
        UserError: there is no such setting, or the value does not fit it.
    """
    for name, value in values.items():
        keys = [name, "source"] if name == "data" and isinstance(value, str) else [name]
        recipe = override(recipe, keys, _plain(value), Place(caller, name))
    if values:
        check_descent(recipe, Place(caller))
    return recipe


def _plain(value: Any) -> Any:
    """Paths as the text that settings hold."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def typed(
    arguments: Mapping[str, Any], paths: Mapping[str, str]
) -> dict[str, str | None]:
    """The words of a command line by option; None where one was not given.

    Args:
        arguments: by the names that argparse gives them: `round_to` is `--round-to`.
        paths: the options that are settings.
    """
    keys = {option: option.removeprefix("--").replace("-", "_") for option in paths}
    return {option: arguments[key] for option, key in keys.items()}


def with_options(
    recipe: Recipe, paths: Mapping[str, str], words: Mapping[str, str | None]
) -> Recipe:
    """The recipe with what a command line's options say.

    Args:
        paths: the setting that each option stands for: `--data` is `data.source`.
        words: as `typed` gives them.

    Raises:
        UserError: what was typed does not fit.
    """
    texts = {option: text for option, text in words.items() if text is not None}
    for option, text in texts.items():
        keys, where = paths[option].split("."), Option(option)
        recipe = override(recipe, keys, _spelled(keys, text), where)
    if texts:
        check_descent(recipe, Place(", ".join(texts)))
    return recipe


def _kind(keys: list[str]) -> Any:
    """The type of the setting that keys lead to."""
    kind: Any = Recipe
    for key in keys:
        kind = settings_of(kind)[key][1]
    return optional(kind)[0]


def _spelled(keys: list[str], text: str) -> Any:
    """The value that a word stands for; the checker refuses what fits nothing."""
    kind = _kind(keys)
    if get_origin(kind) is tuple:
        parts, names = [part.strip() for part in text.split(",")], choices(kind)
        # in the order of the choices: it says nothing, and a recipe is compared
        return sorted(parts, key=names.index) if set(parts) <= set(names) else parts
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    return text
