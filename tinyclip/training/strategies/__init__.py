"""Strategies: how a phase learns, whatever its objectives are; one file each.

A strategy is a module with options, registered under its name; its import is a line
here. What it learns and what it remembers (parameters and buffers) is saved and resumed
with the phase under `strategies.NAME`, and is in no model that is saved.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ...config.check import resolve
from ...config.objectives import Losses, Strategies, weight_of
from ...config.phases.phase import TrainingSettings
from ...config.place import Place
from ...config.schema import Recipe
from ...errors import UserError
from ...losses.objectives import objectives
from .ctkd import Ctkd
from .dlb import Dlb
from .kcd import Kcd
from .strategy import Course, Strategy, strategies

__all__ = [
    "Course",
    "Ctkd",
    "Dlb",
    "Kcd",
    "Strategy",
    "check_strategies",
    "made",
    "strategies",
]


def options_class(strategy: type[Strategy]) -> type:
    """The class of a strategy's options."""
    return type(inspect.signature(strategy).parameters["options"].default)


def settled(asked: Strategies, where: Place) -> dict[str, Any]:
    """The options of each strategy that a phase names, checked.

    Args:
        where: the `strategies` that name them.

    Raises:
        UserError: a strategy or an option that does not exist, or one out of bounds.
    """
    options: dict[str, Any] = {}
    for name, given in asked.items():
        kind = options_class(strategies.get(name, str(where)))
        options[name] = resolve(kind, given, where.key(name))
        if why := options[name].wrong():
            raise UserError(str(where.key(name)), why)
    return options


def made(asked: Strategies, where: Place, course: Course) -> dict[str, Strategy]:
    """The strategies of a phase, by name."""
    return {
        name: strategies.get(name, str(where))(options, course)
        for name, options in settled(asked, where).items()
    }


def check_strategies(recipe: Recipe) -> None:
    """Refuse strategies that do not exist or have nothing to work on, of the phases
    that run.

    Raises:
        UserError: which, and what to do.
    """
    for number, stage in enumerate(recipe.stages):
        place = Place().key("stages").item(number)
        for phase, settings in stage.running().items():
            if isinstance(settings, TrainingSettings):
                where = place.key(phase).key("strategies")
                settled(settings.strategies, where)
                _refuse_idle(settings.strategies, settings.losses, where)
                _refuse_odd(settings.strategies, stage.batch, where)


def _refuse_idle(asked: Mapping[str, object], losses: Losses, where: Place) -> None:
    """A strategy works on what some objectives have, and not all."""
    fit = {n for n, kind in objectives.compared.items() if kind == "distributions"}
    if any(weight_of(weight) and name in fit for name, weight in losses.items()):
        return
    for name in asked:
        if strategies.get(name, str(where)).of_distributions:
            raise UserError(
                str(where.key(name)),
                f"{name} works on objectives that compare distributions, and losses "
                "has none",
                f"Add one of {', '.join(sorted(fit))}, or leave {name} out",
            )


def _refuse_odd(asked: Mapping[str, object], batch: int, where: Place) -> None:
    """An odd batch has no two halves."""
    for name in asked:
        if strategies.get(name, str(where)).halves and batch % 2:
            raise UserError(
                str(where.key(name)),
                f"takes half of each batch again, and a batch is {batch} pairs",
                f"Set batch to {batch + 1}, or leave {name} out",
            )
