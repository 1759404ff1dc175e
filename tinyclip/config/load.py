"""YAML to frozen settings: the only reader of YAML, and the checker of every leaf."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from ..errors import UserError, nearest
from . import shelf
from .schema import Recipe, Stage

T = TypeVar("T")
MOST_STAGES = 10


class _Loader(yaml.SafeLoader):
    """YAML in which a key written twice is an error, not a silent loss."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is written twice", key_node.start_mark
            )
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str, where: str) -> Any:
    """YAML text as plain values.

    Raises:
        UserError: it is not YAML; the message has the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}", f"not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(where, f"not valid YAML: {error}") from None


def resolve(kind: type[T], value: Any, where: str) -> T:
    """A frozen dataclass from plain values, every leaf checked.

    Raises:
        UserError: an unknown key, a wrong type, a value out of bounds.
    """
    if not isinstance(value, Mapping):
        raise UserError(where, f"wants settings by name, not {_said(value)}")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    made = {}
    for key, inner in value.items():
        at = _join(where, key)
        if key not in known:
            raise UserError(where, f"unknown key {key!r}", nearest(key, known))
        made[key] = _leaf(hints[key], inner, at)
        _check_bounds(known[key].metadata, made[key], at)
    return kind(**made)


def _join(where: str, key: Any) -> str:
    return f"{where} {key}" if where.endswith(":") else f"{where}.{key}"


def _said(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


def _leaf(hint: Any, value: Any, where: str) -> Any:
    """One value of the hinted type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (inner,) = [arg for arg in args if arg is not type(None)]
        return _leaf(inner, value, where)
    if origin is Literal:
        if value not in args:
            raise UserError(where, f"cannot be {value!r}", nearest(value, args))
        return value
    if is_dataclass(hint):
        return resolve(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _sequence(args, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(where, f"wants numbers by name, not {_said(value)}")
        return {str(k): _leaf(args[1], v, _join(where, k)) for k, v in value.items()}
    return _scalar(hint, value, where)


def _sequence(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UserError(where, f"wants a list, not {_said(value)}")
    endless = len(args) == 2 and args[1] is Ellipsis
    if not endless and len(value) != len(args):
        raise UserError(where, f"wants {len(args)} values, not {len(value)}")
    kinds = [args[0]] * len(value) if endless else list(args)
    return tuple(
        _leaf(kind, inner, f"{where}[{index}]")
        for index, (kind, inner) in enumerate(zip(kinds, value, strict=True))
    )


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        hint = ""
        if kind is float and isinstance(value, str) and re.fullmatch(
            r"[+-]?\d+e[+-]?\d+", value.lower()
        ):
            mantissa, _, power = value.lower().partition("e")
            hint = f"YAML reads it as text: write {mantissa}.0e{power}"
        names = {float: "a number", int: "a whole number", bool: "true or false"}
        wanted = names.get(kind, "text")
        raise UserError(where, f"wants {wanted}, not {_said(value)}", hint)
    if kind is float and not math.isfinite(value):
        raise UserError(where, f"wants a finite number, not {value}")
    return value


def _check_bounds(bounds: Mapping[str, Any], value: Any, where: str) -> None:
    if value is None or not isinstance(value, int | float):
        return
    for name, fine, words in (
        ("low", lambda v, b: v >= b, "at least"),
        ("high", lambda v, b: v <= b, "at most"),
        ("above", lambda v, b: v > b, "more than"),
    ):
        bound = bounds.get(name)
        if bound is not None and not fine(value, bound):
            raise UserError(where, f"must be {words} {bound:g}, not {value:g}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`; `losses` tables are replaced, not mixed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        mixed = both and key != "losses"
        merged[key] = merge(merged[key], value) if mixed else value
    return merged


def _read(kind: str, name: str, where: str) -> tuple[Any, str]:
    """The YAML of a shipped name or of a file, and what to call it."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            return parse(path.read_text(encoding="utf-8"), str(path)), str(path)
        except OSError as error:
            raise UserError(str(path), f"cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise UserError(str(path), "is not UTF-8 text") from None
    if name not in shelf.names(kind):
        raise UserError(
            where, f"unknown {kind[:-1]} {name!r}", nearest(name, shelf.names(kind))
        )
    return parse(shelf.read(kind, name), f"{name}.yaml"), f"{name}.yaml"


def _stage_values(value: Any, where: str) -> dict[str, Any]:
    """A stage entry laid on the stage that it uses."""
    if not isinstance(value, Mapping):
        raise UserError(where, f"wants settings by name, not {_said(value)}")
    use = value.get("use")
    if use is None:
        return dict(value)
    if not isinstance(use, str):
        raise UserError(f"{where}.use", f"wants a name, not {_said(use)}")
    base, file = _read("stages", use, f"{where}.use")
    if not isinstance(base, Mapping):
        raise UserError(file, "wants settings by name")
    return merge(base, value)


def load_stage(name: str) -> Stage:
    """A shipped stage, or one in a YAML file."""
    value, file = _read("stages", name, "stage")
    return resolve(Stage, value, f"{file}:")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe or a YAML file, with `a.b=v` settings laid on it.

    Raises:
        UserError: where, what is wrong, and the nearest name.
    """
    value, file = _read("recipes", name, "recipe")
    where = f"{file}:"
    if not isinstance(value, Mapping):
        raise UserError(where, "wants settings by name")
    value = dict(value)
    if "stages" in value:
        entries = value["stages"]
        if not isinstance(entries, list):
            raise UserError(f"{where} stages", f"wants a list, not {_said(entries)}")
        value["stages"] = [
            _stage_values(entry, f"{where} stages[{i}]")
            for i, entry in enumerate(entries)
        ]
    value.setdefault("name", Path(name).stem)
    recipe = resolve(Recipe, value, where)
    for setting in overrides:
        recipe = _override(recipe, setting)
    _cross_check(recipe, where)
    return recipe


def _override(recipe: Recipe, setting: str) -> Recipe:
    where = f"--set {setting}"
    path, equals, text = setting.partition("=")
    if not equals:
        raise UserError(where, "wants the form a.b=value")
    value = parse(text, where)
    parts = re.findall(r"[^.\[\]]+", path)
    return _put(recipe, parts, value, where)  # type: ignore[no-any-return]


def _put(owner: Any, parts: list[str], value: Any, where: str) -> Any:
    """`owner` with one inner setting changed."""
    head, rest = parts[0], parts[1:]
    if isinstance(owner, tuple):
        if head != "*" and not (head.isdigit() and int(head) < len(owner)):
            raise UserError(where, f"there is no [{head}]", f"Use 0 to {len(owner) - 1}")
        return tuple(
            _put(inner, rest, value, where) if head in ("*", str(index)) else inner
            for index, inner in enumerate(owner)
        )
    if isinstance(owner, dict):
        return {**owner, head: _leaf(float, value, where)}
    known = {field.name: field for field in fields(owner)}
    if head not in known:
        raise UserError(where, f"unknown key {head!r}", nearest(head, known))
    if rest:
        return replace(owner, **{head: _put(getattr(owner, head), rest, value, where)})
    made = _leaf(get_type_hints(type(owner))[head], value, where)
    _check_bounds(known[head].metadata, made, where)
    return replace(owner, **{head: made})


def _cross_check(recipe: Recipe, where: str) -> None:
    """What no leaf can know alone."""
    if not recipe.stages:
        raise UserError(f"{where} stages", "there is none", "Add at least one")
    if len(recipe.stages) > MOST_STAGES:
        raise UserError(f"{where} stages", f"at most {MOST_STAGES} are possible")
    share = 1.0
    for index, stage in enumerate(recipe.stages):
        at = f"{where} stages[{index}]"
        cuts = "inherit" in stage.phases
        if cuts and stage.target is None:
            raise UserError(f"{at}.target", "is missing", "Say which share is left")
        target = share if stage.target is None else stage.target
        if (cuts and target >= share) or target > share:
            raise UserError(
                f"{at}.target", f"{target:g} is not below {share:g}, where it starts"
            )
        _check_phases(stage, at)
        share = target


def _check_phases(stage: Stage, at: str) -> None:
    choosing = [p for p in stage.phases if p in ("learn", "score", "manual")]
    order = [p for p in ("learn", "score", "manual", "inherit", "distil")]
    if not stage.phases:
        raise UserError(f"{at}.phases", "there is none")
    if list(stage.phases) != sorted(set(stage.phases), key=order.index):
        raise UserError(
            f"{at}.phases", f"{list(stage.phases)} are not in order: {order}"
        )
    if ("inherit" in stage.phases) != (len(choosing) == 1):
        raise UserError(
            f"{at}.phases",
            "inherit needs one of learn, score and manual before it, and each of "
            "them needs inherit after it",
        )


def ladder(target: Any, stages: Any) -> list[float]:
    """The shares of a descent to `target` in equal steps: 1 - k(1 - T)/N.

    Raises:
        UserError: a target outside (0, 1), or stages outside 1 to 10.
    """
    try:
        share = float(target)
    except (TypeError, ValueError):
        raise UserError("--target", f"{target!r} is no number", "Try 0.25") from None
    if not 0 < share < 1:
        raise UserError("--target", f"{target} is not between 0 and 1", "Try 0.25")
    try:
        count = int(str(stages))
    except ValueError:
        raise UserError("--stages", f"{stages!r} is no whole number") from None
    if not 1 <= count <= MOST_STAGES:
        raise UserError("--stages", f"{count} is not between 1 and {MOST_STAGES}")
    return [
        round(1 - k * (1 - share) / count, 10) for k in range(1, count + 1)
    ]


def rebuild_ladder(recipe: Recipe, target: Any, stages: Any) -> Recipe:
    """The recipe with other targets; stage k keeps the settings of its entry k."""
    entries = recipe.stages
    rebuilt = tuple(
        replace(entries[min(index, len(entries) - 1)], target=share)
        for index, share in enumerate(ladder(target, stages))
    )
    return replace(recipe, stages=rebuilt)


def recipe_to_dict(recipe: Recipe | Stage) -> dict[str, Any]:
    """The recipe (or stage) as plain values, every default written out."""
    whole: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    for stage in whole.get("stages", [whole]):
        stage.pop("use")  # its settings are all written out
    return whole


def to_yaml(recipe: Recipe | Stage) -> str:
    """The recipe (or stage) as YAML that loads back equal."""
    text: str = yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, width=88)
    return text


def fingerprint(value: Any) -> str:
    """16 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
