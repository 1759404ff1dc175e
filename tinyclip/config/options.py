"""Settings that come as values of Python or as words of a command line.

They go through the checker that YAML goes through, and a message names what was typed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

from ..errors import UserError
from .check import in_words
from .ladder import check_descent
from .override import override, split_setting
from .place import Option, Place
from .schema import Data, Recipe
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
    for name, given in values.items():
        value, where = _plain(given), Place(caller, name)
        if name != "data" or isinstance(value, Mapping | Data):
            recipe = override(recipe, [name], value, where)
        elif isinstance(value, str):
            recipe = override(recipe, [name, "source"], value, where)
        else:
            what = f"wants a source as text, or settings by name, not {in_words(value)}"
            raise UserError(str(where), what, "Try 'csv:pairs.csv'")
    if values:
        check_descent(recipe, Place(caller))
    return recipe


def path_from(value: Any, where: str) -> Path:
    """A file or folder as a caller of Python names it.

    Raises:
        UserError: it is neither text nor a path; `where` named it.
    """
    plain = _plain(value)
    if not isinstance(plain, str):
        raise UserError(where, f"wants a path, not {in_words(plain)}")
    return Path(plain)


def check_of_data(settings: Sequence[str], options: Mapping[str, str]) -> None:
    """Refuse a `--set` of a verb that only reads data where it sets something else.

    Args:
        settings: as they were typed, `data.crop=0.8`.
        options: the verb's own, and the settings that they stand for.

    Raises:
        UserError: one is no setting of the data, or the data itself.
    """
    own = {path: option for option, path in options.items()}
    for setting in settings:
        keys, _ = split_setting(setting)
        path = ".".join(keys)
        if path.startswith("data.") and path != "data.source":
            continue
        if path in own:
            what, todo = "has an option of its own here", f"Use {own[path]}"
        else:
            what = "only settings of the data are used here"
            todo = "Write data.NAME=VALUE, e.g. data.caption_column=text"
        raise UserError(f"--set {setting}", what, todo)


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
