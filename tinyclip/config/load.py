"""YAML to frozen settings and back."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError, nearest
from . import shelf
from .check import in_words, resolve
from .ladder import check_descent, check_stage, ladder, rebuild_ladder
from .override import merge, override, split_setting
from .place import Place
from .reader import parse, read_text
from .schema import PHASES, Recipe, Stage
from .tasks import on_other_pairs

__all__ = [
    "dump",
    "fingerprint",
    "ladder",
    "load_recipe",
    "load_stage",
    "parse",
    "rebuild_ladder",
    "recipe_to_dict",
    "resolve",
    "stages_from",
    "to_yaml",
]


class _Dumper(yaml.SafeDumper):
    """YAML from which every text comes back as it was."""


def _text_node(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    # YAML folds these line breaks into spaces unless they are escaped
    style = '"' if {"\x85", "\u2028", "\u2029"} & set(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)


_Dumper.add_representer(str, _text_node)


def _is_path(name: str) -> bool:
    """Whether a name means a file, there or not, instead of a shipped entry."""
    path = Path(name)
    try:
        exists = path.exists()
    except OSError:  # a name too long to be looked for; reading it says so
        exists = True
    return exists or path.suffix in (".yaml", ".yml") or len(path.parts) > 1


def _read(kind: str, name: str, where: str, home: Path) -> tuple[Any, str]:
    """The YAML of a shipped entry or of a file, and what messages call it.

    Args:
        where: what asked for it.
        home: the folder that a relative path starts from.
    """
    names = shelf.names(kind)
    if name in names:
        text, file = shelf.read(kind, name), f"{kind}/{name}.yaml"
    elif _is_path(name):
        text, file = _text(home / name, names, kind), str(home / name)
    else:
        raise UserError(where, f"unknown {kind[:-1]} {name!r}", nearest(name, names))
    value = parse(text, file)
    if not isinstance(value, Mapping):
        raise UserError(file, f"wants settings by name, not {in_words(value)}")
    return value, file


def _text(path: Path, names: list[str], kind: str) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        shipped = (
            f"Name a YAML file, or one that ships with tinyclip: {', '.join(names)}"
        )
        raise UserError(str(path), "there is no such file", shipped) from None
    except IsADirectoryError:
        raise UserError(
            str(path), "is a folder", f"Name the YAML file of a {kind[:-1]}"
        ) from None
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(str(path), "is not UTF-8 text") from None


def _stage_values(value: Any, where: Place, home: Path) -> Any:
    """A stage entry laid on the stage that it uses."""
    if not isinstance(value, Mapping) or value.get("use") is None:
        return value  # `resolve` says what is wrong with it, if anything
    at = str(where.key("use"))
    if not isinstance(value["use"], str):
        raise UserError(at, f"wants a name, not {in_words(value['use'])}")
    base, _ = _checked_stage(value["use"], at, home)
    merged = merge(base, value)
    return {key: inner for key, inner in merged.items() if key != "use"}


def _checked_stage(name: str, where: str, home: Path) -> tuple[Any, Stage]:
    """A stage's plain values, and the stage."""
    base, file = _read("stages", name, where, home)
    if base.get("use") is not None:
        raise UserError(file, "a stage cannot use another", "Write its settings out")
    stage = resolve(Stage, base, Place(file))
    check_stage(stage, Place(file))
    return base, stage


def stages_from(values: Sequence[Any], where: Place, home: Path) -> list[Any]:
    """Plain stages, each laid on the stage that it uses.

    Args:
        home: the folder that a relative path starts from.

    Raises:
        UserError: a stage that one uses is not there, or wrong.
    """
    return [
        _stage_values(value, where.item(index), home)
        for index, value in enumerate(values)
    ]


def load_stage(name: str) -> Stage:
    """A shipped stage, or one in a YAML file.

    Raises:
        UserError: where, what is wrong, and the nearest name.
    """
    return _checked_stage(name, "stage", Path())[1]


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe or a YAML file, with `a.b=v` settings laid on it.

    A stage's `use` is a shipped stage or a YAML file beside the recipe; its settings
    are in the result, the name is not.

    Which objectives there are, and their options, is checked by `losses`, a room above.

    Raises:
        UserError: where, what is wrong, and the nearest name.
    """
    value, file = _read("recipes", name, "recipe", Path())
    where = Place(file)
    home = Path(file).parent if name not in shelf.names("recipes") else Path()
    value = {"name": Path(name).stem, **value}
    if isinstance(value.get("stages"), list):
        at = where.key("stages")
        value["stages"] = stages_from(value["stages"], at, home)
    recipe = resolve(Recipe, value, where)
    check_descent(recipe, where)
    own = recipe.data.source
    for setting in overrides:
        keys, text = split_setting(setting)
        option = f"--set {setting}"
        recipe = override(recipe, keys, parse(text, option), Place(option))
    if overrides:
        check_descent(recipe, Place(f"--set {' --set '.join(overrides)}"))
        recipe = on_other_pairs(name, own, recipe, overrides)
    return recipe


def recipe_to_dict(recipe: Recipe | Stage) -> dict[str, Any]:
    """The recipe (or stage) as plain values, every default written out."""
    whole: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    for stage in whole.get("stages", [whole]):
        stage.pop("use")  # its settings are all written out
        for name in PHASES:
            if not stage[name]:  # a phase without settings has nothing to write
                stage.pop(name)
    return whole


def dump(plain: Any, width: float = math.inf, flow: bool = False) -> str:
    """Plain values as YAML, keys in their order.

    Args:
        flow: write lists and tables on one line, as `[a, b]` and `{a: b}`.
    """
    text: str = yaml.dump(
        plain,
        Dumper=_Dumper,
        sort_keys=False,
        width=width,
        allow_unicode=True,
        default_flow_style=flow,
    )
    return text


def as_setting(path: str, value: Any) -> str:
    """What `--set` takes to give a setting this plain value: `data.workers=8`."""
    text = dump(value, flow=True).removesuffix("...\n")
    return f"{path}={text.strip()}"


def to_yaml(recipe: Recipe | Stage) -> str:
    """The recipe (or stage) as YAML that loads back equal."""
    return dump(recipe_to_dict(recipe), width=88)


def fingerprint(value: Any) -> str:
    """16 hex digits of the SHA-256 of a value's canonical JSON.

    Raises:
        ValueError, TypeError: it holds what JSON cannot say (NaN, an object of ours).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
