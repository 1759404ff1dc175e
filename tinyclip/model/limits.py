"""What probes found that a model cannot do, and what its students cannot any more.

A probe asks a model to tell a picture's true text from false ones, `right` being the
share of items of which it does, `right_PART` that of a part of them; `items_PART` and
`chance_PART` say more of it. Of scenes of two things it asks whether both are found,
and which is preferred: a bias, whose figure is one half where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .figures import PREFERRED, PROBE, is_probe

UNBIASED = 0.5  # a preference of a model that has none


@dataclass(frozen=True)
class Part:
    """Some items of a probe.

    Args:
        value, low, high: its figure and the 95 % interval of that.
        chance: the figure of a model that guesses; None where it is not known.
        items: how many there are; None where it is not known.
        teacher: the teacher's figure; None where there is none.
        is_preference: whether it is a bias, and no quality; then `chance` is that of a
            model without it.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float | None
    items: float | None
    teacher: float | None
    is_preference: bool = False

    @property
    def is_guessed(self) -> bool:
        """Whether a model that guesses might have the figure, too."""
        known = self.chance is not None and not self.is_preference
        return known and self.low <= (self.chance or 0.0)

    @property
    def is_biased(self) -> bool:
        """Whether it is a preference that the model surely has."""
        return self.is_preference and not self.low <= UNBIASED <= self.high


@dataclass(frozen=True)
class Limit:
    """A probe in which a model is not surely above chance, or worse than its teacher.

    Args:
        probe: what it is called.
        value, low, high: its figure and the 95 % interval of that.
        chance: the figure of a model that guesses.
        teacher: the teacher's; None where there is none.
        lost: at least so much less than the teacher's it surely is; 0 where it is not.
        parts: those that are not surely above chance.
        biases: what it prefers.
    """

    probe: str
    value: float
    low: float
    high: float
    chance: float
    teacher: float | None
    lost: float
    parts: tuple[Part, ...]
    biases: tuple[Part, ...] = ()

    @property
    def is_guessed(self) -> bool:
        """Whether a model that guesses might have the figure, too."""
        return self.low <= self.chance


def parts_of(task: Mapping[str, Any]) -> list[Part]:
    """The parts of a probe and its other figures, in their order."""
    also, sure = task.get("also") or {}, task.get("intervals") or {}
    teacher = task.get("teacher_also") or {}
    found = []
    for figure, value in also.items():
        if value is None or figure not in sure:
            continue
        name = figure.removeprefix(f"{PROBE}_")
        preference = figure.endswith(PREFERRED)
        guessed = task.get("chance") if name != figure else None
        chance = UNBIASED if preference else also.get(f"chance_{name}", guessed)
        low, high = sure[figure]
        part = Part(
            name,
            value,
            low,
            high,
            chance,
            also.get(f"items_{name}"),
            teacher.get(figure),
            preference,
        )
        found.append(part)
    return found


def limits(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[Limit]:
    """Of each probe that says something against a model, what it says."""
    for name, task in tasks.items():
        if not is_probe(task) or task.get("chance") is None:
            continue
        found = _limit(name, task)
        if found.is_guessed or found.lost or found.parts or found.biases:
            yield found


def _limit(name: str, task: Mapping[str, Any]) -> Limit:
    low, high = task["ci95"]
    change = (task.get("difference") or {}).get("ci95")
    parts = parts_of(task)
    return Limit(
        name,
        task["value"],
        low,
        high,
        task["chance"],
        task.get("teacher"),
        max(0.0, -change[1]) if change else 0.0,
        tuple(part for part in parts if part.is_guessed),
        tuple(part for part in parts if part.is_biased),
    )
