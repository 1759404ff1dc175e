"""Teachers of another make, beside the run's own.

Each has its own tokenizer, transform, logit scale and cached features; what they have
in common with the student are the samples (Faghri et al. 2025, "MobileCLIP2").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..config.objectives import weight_of
from ..config.phases.phase import PhaseSettings
from ..config.place import Place
from ..config.schema import Recipe
from ..data.loader import Loader
from ..data.protocol import Pairs
from ..errors import UserError
from ..formats.source import load_source
from ..model.store import Loaded
from ..shapes import ClipShape
from ..training.engine import Engine
from ..training.teacher.beside import OwnView
from ..training.teacher.live import Cached, LiveTeacher, Teacher
from .caches import cache_of, identity
from .loading import loader_of

KEY = "more_teachers"
OF_ONE_KIND = ("mimic", "sigmoid")  # objectives that ask for the teacher's own kind


@dataclass
class OtherTeacher:
    """One of them.

    Args:
        place: in the recipe, from 0.
        loader: of the pairs to train on, in its own pixels and ids.
        cached: its features, once they are held.
    """

    place: int
    loaded: Loaded
    loader: Loader
    cached: Cached | None = None

    @property
    def name(self) -> str:
        """As the recipe has it."""
        return f"{KEY}[{self.place}]"

    @property
    def file(self) -> str:
        """Of its features in the run's folder."""
        return f"teacher-{self.place + 2}.safetensors"

    @cached_property
    def identity(self) -> dict[str, str]:
        """Fingerprints of all that it is."""
        return identity(self.loaded)

    def fingerprints(self, recipe: Recipe) -> dict[str, str]:
        """What of a run depends on it.

        Raises:
            UserError: the recipe names a cache, and it has none that fits.
        """
        found = dict(self.identity)
        if recipe.cache is not None:
            found["cache"] = cache_of(recipe, self.loaded, found["teacher"])[1].content
        return {f"{self.name}.{key}": value for key, value in found.items()}

    def teacher_for(
        self, scale: float | None, engine: Engine, cached: Cached | None
    ) -> Teacher:
        """It as a phase asks for it."""
        live = LiveTeacher(self.loaded.model, engine, scale)
        if cached is not None:
            return cached.with_scale_of(live)
        return OwnView(live, self.loader)


def open_others(recipe: Recipe, train: Pairs) -> tuple[OtherTeacher, ...]:
    """The teachers that a recipe names beside its own.

    Raises:
        UserError: one cannot be had, brings no tokenizer, or is named twice.
    """
    found: list[OtherTeacher] = []
    for place, source in enumerate(recipe.more_teachers):
        where = f"{KEY}[{place}]"
        if source in (recipe.teacher, *recipe.more_teachers[:place]):
            what = f"{source} teaches already"
            raise UserError(where, what, "Name each teacher once")
        loaded = load_source(source, where)
        loaded.tokenizer(["a"])  # as the run's: fetched, or refused, now
        found.append(OtherTeacher(place, loaded, loader_of(recipe, train, loaded)))
    return tuple(found)


def refuse_other_kinds(
    recipe: Recipe, teacher: ClipShape, others: Sequence[ClipShape]
) -> None:
    """Refuse objectives that would ask teachers for different kinds of similarity, of
    a student that has one.

    Raises:
        UserError: which, and what to take instead.
    """
    unlike = [n for n, o in enumerate(others) if o.logit_bias != teacher.logit_bias]
    if not unlike:
        return
    for number, stage in enumerate(recipe.stages):
        for phase, settings in stage.running().items():
            for name in _of_one_kind(settings, number):
                place = Place().key("stages").item(number).key(phase).key("losses")
                raise UserError(
                    str(place.key(name)),
                    f"{KEY}[{unlike[0]}] and the teacher were trained with different "
                    "kinds of similarity, a softmax and a sigmoid",
                    "Use affinity, which asks every teacher for a softmax",
                )


def _of_one_kind(phase: PhaseSettings, earlier: int) -> list[str]:
    if not phase.asks_run_teacher(earlier):
        return []
    losses = phase.objectives
    return [name for name in OF_ONE_KIND if weight_of(losses.get(name, 0.0))]
