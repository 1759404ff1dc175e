"""`tinyclip objectives`: what a stage's `losses` may name; and docs/objectives.md.

python -m tinyclip.cli.objectives > docs/objectives.md

and what benchmarks/objectives.py prints of its last results (`make settings`).
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from ..config.describe import table
from ..config.setting import bounds_in_words, default_of, settings_of
from .show import print_json, tell, tell_entries

if TYPE_CHECKING:
    from ..losses.objectives import Objective
    from ..training.strategies import Strategy

    Entry: TypeAlias = Objective | type[Strategy]

ALONE = """\
It looks at pictures alone and at texts alone, so that it also learns from those that
have no pair: `data.images`, `data.texts`.
"""
OPENING = """\
# Every objective

Generated from their own descriptions (`tinyclip/losses/`): `make settings` writes this
page, and a test compares it. `tinyclip objectives ls` lists them and `tinyclip
objectives show NAME` explains one.

What `losses` of a stage's `learn` and `distil` may name. Each takes a weight,
`{mimic: 1.0}`, or a weight and its options, `{kd: {weight: 1.0, temperature: 4}}`;
without a weight it is 1, and one of weight 0 is not computed. `use: clip-kd` is the
sum that CLIP-KD ends with.

v and s are the student's features of pictures and captions, (B, E), normalised; V and S
the teacher's; B is the whole batch, of all processes. Where the student kept some of
the embedding's channels, V and S are those channels, normalised anew.

Where several teach (`teachers: all_stages`, `more_teachers`), an objective is the mean
of its values under each; for the teacher's softmaxes and sigmoids that is the mean of
them.

A large batch is looked at in blocks of rows: memory grows with it, not with its square.
[Which to take when](#which-to-take-when), measured, is at the end.
What each costs beside `mimic`, in time and memory, alone and in a whole step:
[measured](../benchmarks/results/2026-11-26-objective-cost.md).
"""


STRATEGIES = """\
# Strategies

How a phase learns, whatever its objectives are: `strategies: {ctkd: {lr: 0.02}}` of
`learn` or `distil`, or `{ctkd: {}}` as it is.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`ls`, `show`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("ls", help="what losses may name")
    show = actions.add_parser("show", help="formula, source and options of one")
    show.add_argument("name", help="an objective")
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Do one action.

    Raises:
        UserError: an objective that there is not.
    """
    from ..losses.objectives import objectives
    from ..training.strategies import strategies

    if args.action == "show":
        known = strategies if args.name in strategies else objectives
        return _show(args.name, known.get(args.name, "NAME"), args.json)
    entries = {name: title(objectives.get(name, "NAME")) for name in objectives}
    for name in strategies:
        entries[name] = f"a strategy: {title(strategies.get(name, 'NAME'))}"
    tell_entries(entries, args.json)
    return 0


def _show(name: str, objective: Entry, as_json: bool) -> int:
    """What there is to know of one, and a line that can be put into a stage."""
    from ..losses.objectives import objectives

    options = list(_options(objective))
    if as_json:
        about = {"name": name, "about": text(objective), "learns": learns(objective)}
        about["unpaired"] = name in objectives.each_modality
        print_json({**about, "options": {one.pop("name"): one for one in options}})
        return 0
    tell(text(objective) + "\n")
    if name in objectives.each_modality:
        tell(ALONE)
    if is_strategy(objective):
        tell(f"strategies:\n  {name}:")
    else:
        tell(f"losses:\n  {name}:\n    weight: 1.0")
    for one in options:
        allowed = f" ({one['allowed']})" if one["allowed"] else ""
        default = "null" if one["default"] is None else one["default"]
        tell(f"    {one['name']}: {default}  # {one['help']}{allowed}")
    return 0


def _options(objective: Entry) -> Iterator[dict[str, Any]]:
    from ..losses.objectives import options_class

    kind = options_class(objective)
    for name, (entry, hint) in settings_of(kind).items() if kind else ():
        yield {
            "name": name,
            "default": default_of(entry),
            "allowed": bounds_in_words(hint, entry.metadata),
            "help": entry.metadata["help"],
        }


def text(objective: Entry) -> str:
    """The description without what a Python caller alone is told."""
    whole = inspect.getdoc(objective) or ""
    return whole.split("\n\nArgs:")[0].split("\n\nRaises:")[0]


def title(objective: Entry) -> str:
    """Its first paragraph up to where the source is named, on one line."""
    paragraph = " ".join(text(objective).split("\n\n")[0].split())
    return paragraph.split(" (")[0].rstrip(".")


def is_strategy(entry: Entry) -> bool:
    """Whether it is said how a phase learns, and not what."""
    from ..training.strategies import Strategy

    return isinstance(entry, type) and issubclass(entry, Strategy)


def learns(objective: Entry) -> bool:
    """Whether it has parameters of its own."""
    return isinstance(objective, type)


def section(name: str, objective: Entry) -> str:
    """One objective in Markdown: formulas as code."""
    from ..losses.objectives import objectives, options_class

    parts = [f"## {name}"]
    for paragraph in text(objective).split("\n\n"):
        is_formula = paragraph.startswith("L = ")
        parts.append(f"```text\n{paragraph}\n```" if is_formula else paragraph)
    if name in objectives.each_modality:
        parts.append(ALONE.strip())
    kind = options_class(objective)
    if kind is not None:
        parts.append(table(kind))
    return "\n\n".join(parts) + "\n"


def page() -> str:
    """The whole document."""
    from ..losses.objectives import objectives
    from ..training.strategies import strategies

    sections = [section(name, objectives.get(name, "losses")) for name in objectives]
    sections.append(STRATEGIES)
    sections += [section(name, strategies.get(name, "NAME")) for name in strategies]
    return "\n".join([OPENING, *sections])


if __name__ == "__main__":
    print(page(), end="")
