"""The settings of one stage, and the registry of phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..sites import SITES, USUAL
from .phases.allocate import Allocate
from .phases.distil import Distil
from .phases.inherit import Inherit
from .phases.learn import Learn
from .phases.manual import Manual
from .phases.phase import PhaseSettings
from .phases.rotate import Rotate
from .phases.score import Score
from .phases.solve import Solve
from .setting import setting, settings_of

Start = Literal["previous", "teacher"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step down: its phases in order.

    A field whose type is a phase's settings registers that phase under the field's
    name; the phase itself is `pipeline/phases/NAME.py`. Stages run their phases in the
    order of these fields.
    """

    use: str | None = setting(
        None, "shipped stage (or YAML file) that these settings start from"
    )
    target: float | None = setting(
        None, "share of the run's teacher that is left after it", above=0, high=1
    )
    start: Start = setting(
        "previous",
        "what it makes smaller: what the stage before left, or the run's teacher",
        later=True,
    )
    phases: tuple[str, ...] = setting(
        ("learn", "inherit", "distil"), "what it does, in order", among=lambda: PHASES
    )
    sites: tuple[str, ...] = setting(USUAL, "what may shrink", among=lambda: SITES)
    batch: int = setting(128, "pairs of a step, of all processes together", low=2)
    images: int | None = setting(
        None,
        "pictures of data.images that a step sees; null: as many as pairs",
        low=1,
        later=True,
    )
    texts: int | None = setting(
        None,
        "texts of data.texts that a step sees; null: as many as pairs",
        low=1,
        later=True,
    )
    accumulate: int = setting(
        1, "pieces in which a batch goes through; the loss sees all of it", low=1
    )
    carry_optimizer: bool = setting(
        True, "slice the optimiser's moments with the weights; false: start cold"
    )
    scale: float | None = setting(
        None, "fixed logit scale of both models; null: each its own", above=0
    )
    rotate: Rotate = setting(
        Rotate(), "turn streams and heads into their principal bases", later=True
    )
    learn: Learn = setting(Learn(), "learn which units matter, under the budget")
    score: Score = setting(Score(), "rank units by importance instead")
    manual: Manual = setting(
        Manual(), "take units by hand, as the original's manual models"
    )
    allocate: Allocate = setting(
        Allocate(), "share the size among sites by what each loses", later=True
    )
    inherit: Inherit = setting(Inherit(), "slice the survivors out, exactly")
    solve: Solve = setting(
        Solve(), "solve anew, in closed form, what the cut left", later=True
    )
    distil: Distil = setting(Distil(), "learn from the teacher")

    def every_phase(self) -> dict[str, PhaseSettings]:
        """The settings of every phase there is, whether the stage runs it or not."""
        return {name: vars(self)[name] for name in PHASES}

    def running(self) -> dict[str, PhaseSettings]:
        """The settings of the phases that it runs, in their order."""
        every = self.every_phase()
        return {name: every[name] for name in self.phases}

    @property
    def cuts(self) -> bool:
        """Whether the model is smaller after it."""
        return any(phase.cuts for phase in self.running().values())

    @property
    def rotates(self) -> bool:
        """Whether it turns the model into a basis of its own."""
        return any(phase.rotates for phase in self.running().values())

    @property
    def solves(self) -> bool:
        """Whether what it cuts is solved anew."""
        return any(phase.solves for phase in self.running().values())

    @property
    def nests(self) -> bool:
        """Whether what it keeps is chosen from what a larger student kept, where there
        is one."""
        phases = self.running().values()
        return self.from_teacher and any(phase.nests for phase in phases)

    @property
    def from_teacher(self) -> bool:
        """Whether it makes the run's teacher smaller, whatever came before it."""
        return self.start == "teacher"

    @property
    def cut_sites(self) -> tuple[str, ...]:
        """What its phases shrink."""
        if any(phase.usual_sites for phase in self.running().values()):
            return USUAL
        return self.sites

    @property
    def trains_uncut(self) -> bool:
        """Whether it trains the very model that it was given."""
        for phase in self.running().values():
            if phase.cuts:
                return False
            if phase.trained_steps:
                return True
        return False

    @property
    def steps(self) -> dict[str, int]:
        """Steps of each phase that trains."""
        steps = {name: phase.trained_steps for name, phase in self.running().items()}
        return {name: count for name, count in steps.items() if count}

    @property
    def looked(self) -> dict[str, int]:
        """Pairs that each phase takes through the model without training."""
        pairs = {name: phase.seen for name, phase in self.running().items()}
        return {name: count for name, count in pairs.items() if count}

    @property
    def batched(self) -> bool:
        """Whether a phase asks for whole batches."""
        return any(phase.batched for phase in self.running().values())


PHASES: Mapping[str, type[PhaseSettings]] = {
    name: kind
    for name, (_, kind) in settings_of(Stage).items()
    if isinstance(kind, type) and issubclass(kind, PhaseSettings)
}
