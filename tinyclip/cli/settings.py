"""docs/settings.md: every setting there is, from the classes that check them.

python -m tinyclip.cli.settings > docs/settings.md
"""

from __future__ import annotations

import inspect

from ..config.describe import table
from ..config.schema import PHASES, Data, Optim, Recipe, Stage
from ..config.setting import settings_of

OPENING = """\
# Every setting

Generated from the classes that check them (`tinyclip/config/`): `make settings` writes
this page, and a test compares it.

A recipe is YAML. `tinyclip recipes show NAME` prints one with every default written
out and these words beside them; `--set a.b=v` changes one setting,
`--set 'stages[*].batch=64'` one of every stage; `tinyclip.compress("demo", seed=1)`
takes those of the first table as arguments.
"""
OBJECTIVES = """\
## Objectives

What `losses` may name, with formulas and options: [objectives.md](objectives.md).
"""


def paragraph(owner: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(owner) or "").split("\n\n")[0].split())


def section(kind: type, level: int = 2) -> str:
    """One settings class: what it is, and its table."""
    head = f"{'#' * level} {kind.__name__}\n\n{paragraph(kind)}\n"
    return f"{head}\n{table(kind)}\n" if settings_of(kind) else head


def page() -> str:
    """The whole document."""
    parts = [OPENING, *map(section, (Recipe, Data, Stage, *PHASES.values(), Optim))]
    return "\n".join([*parts, OBJECTIVES])


if __name__ == "__main__":
    print(page(), end="")
