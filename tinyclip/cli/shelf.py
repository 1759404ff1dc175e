"""`tinyclip recipes` and `tinyclip stages`: the shipped YAML."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config import shelf
from ..config.describe import commented_yaml
from ..config.load import load_recipe, load_stage, recipe_to_dict
from ..config.place import Place
from ..config.schema import Recipe, Stage
from ..errors import UserError, nearest
from ..files import write_bytes
from .show import complain, print_json, tell, tell_entries


def add_arguments(parser: argparse.ArgumentParser, kind: str) -> None:
    """`ls`, `show`, `copy`, `validate`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("ls", help=f"the shipped {kind}")
    show = actions.add_parser("show", help="one of them, every default written out")
    show.add_argument("name", help="a shipped name or a YAML file")
    copy = actions.add_parser("copy", help="one of them as a file of your own")
    copy.add_argument("name", help="a shipped name")
    copy.add_argument(
        "to", nargs="?", type=Path, help="file or folder; default: NAME.yaml"
    )
    validate = actions.add_parser("validate", help="check YAML files")
    validate.add_argument("files", nargs="+", metavar="FILE")
    for action in (listing, show, copy, validate):
        action.add_argument("--json", action="store_true", help="JSON on stdout")


def about(kind: str, name: str) -> str:
    """The first comment of a shipped file."""
    first = shelf.read(kind, name).splitlines()[0]
    return first.removeprefix("#").strip()


def run(args: argparse.Namespace, kind: str) -> int:
    """Do one action.

    Raises:
        UserError: an unknown name, a wrong file, a file in the way.
    """
    action = {"ls": _ls, "show": _show, "copy": _copy, "validate": _validate}
    return action[args.action](args, kind)


def _ls(args: argparse.Namespace, kind: str) -> int:
    entries = {name: about(kind, name) for name in shelf.names(kind)}
    tell_entries(entries, args.json)
    return 0


def _load(kind: str, name: str) -> Recipe | Stage:
    return load_recipe(name) if kind == "recipes" else load_stage(name)


def _show(args: argparse.Namespace, kind: str) -> int:
    value = _load(kind, args.name)
    if args.json:
        print_json(recipe_to_dict(value))
    else:
        print(commented_yaml(value), end="")
    return 0


def _copy(args: argparse.Namespace, kind: str) -> int:
    names = shelf.names(kind)
    if args.name not in names:
        raise UserError(
            "NAME", f"unknown {kind[:-1]} {args.name!r}", nearest(args.name, names)
        )
    file = f"{args.name}.yaml"
    to = args.to or Path(file)
    to = to / file if to.is_dir() else to
    if to.exists() or to.is_symlink():
        raise UserError(str(to), "exists already", "Name another file")
    write_bytes(to, shelf.read(kind, args.name).encode())
    print_json({"copied": str(to)}) if args.json else tell(str(to))
    return 0


def _validate(args: argparse.Namespace, kind: str) -> int:
    """Check every file, and not only up to the first that is wrong."""
    from ..losses.objectives import check_objectives  # it imports torch; ls does not

    errors: dict[str, str | None] = {}
    for name in args.files:
        try:
            check_objectives(_load(kind, name), Place(name))
            errors[name] = None
        except UserError as error:
            errors[name] = str(error)
            complain(f"error: {error}")
    wrong = [name for name, error in errors.items() if error]
    if args.json:
        print_json({"valid": not wrong, "errors": errors})
    else:
        for name in errors:
            if name not in wrong:
                tell(f"{name}: fine")
    return 2 if wrong else 0
