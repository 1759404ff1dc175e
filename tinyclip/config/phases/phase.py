"""What every phase can be asked by its settings, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..objectives import Losses, Strategies
from ..optim import Optim
from ..setting import setting

Teachers = Literal["run", "previous_stage", "all_stages"]
DROPPED = 0.25


@dataclass(frozen=True, kw_only=True)
class PhaseSettings:
    """The settings of a phase; a phase that trains has more, below.

    What must come before and after it follows from the first two: a phase that cuts
    needs exactly one that chooses before it, and one that chooses needs a cut after it.
    """

    chooses: ClassVar[bool] = False  # leaves which units survive
    cuts: ClassVar[bool] = False  # makes the model smaller by what was chosen
    usual_sites: ClassVar[bool] = False  # heeds no `sites`: it shrinks the usual ones
    rotates: ClassVar[bool] = False  # changes the basis, and nothing else
    unfit_sites: ClassVar[tuple[str, ...]] = ()  # that it cannot choose among
    nests: ClassVar[bool] = False  # can choose from what a larger student kept
    solves: ClassVar[bool] = False  # makes up for a cut from the model before it

    @property
    def trained_steps(self) -> int:
        """How many steps it trains."""
        return 0

    @property
    def needs_rotation(self) -> bool:
        """Whether it reads what units mean in the principal basis."""
        return False

    @property
    def trains_weights(self) -> bool:
        """Whether the model's weights are others after its steps."""
        return bool(self.trained_steps)

    @property
    def seen(self) -> int:
        """How many pairs it takes through the model without training."""
        return 0

    @property
    def batched(self) -> bool:
        """Whether it asks for whole batches of the stage."""
        return bool(self.trained_steps)

    @property
    def objectives(self) -> Losses:
        """What it asks the student to do, by the names of objectives."""
        return {}

    def earlier_teachers(self, _count: int) -> range:
        """Which of so many earlier stages have students that teach it, from 0."""
        return range(0)

    def asks_run_teacher(self, _earlier: int) -> bool:
        """Whether the run's teacher teaches it, after so many earlier stages."""
        return bool(self.trained_steps)

    @property
    def layers(self) -> dict[str, int | None]:
        """How many layers it keeps of a tower, by its setting `TOWER_layers`."""
        return {}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(PhaseSettings):
    """What every phase that trains can be told."""

    steps: int = setting(400, "steps that it trains", low=1)
    optim: Optim = setting(Optim(), "the weights' optimiser")
    losses: Losses = setting(
        {"mimic": 1.0}, "objectives: NAME: WEIGHT, or NAME: {weight, options}", low=0
    )
    objective_lr: float | None = setting(
        None,
        "peak learning rate of what objectives have of their own; null: optim.lr",
        above=0,
        later=True,
    )

    strategies: Strategies = setting(
        {}, "how it learns from them: NAME: {options}", later=True
    )
    teachers: Teachers = setting(
        "run",
        "who teaches: the run's teacher, the student before, or all of them",
        later=True,
    )
    dropped: float = setting(
        DROPPED,
        "all_stages: chance of an earlier student to be left out of a step",
        low=0,
        below=1,
        later=True,
    )

    def earlier_teachers(self, count: int) -> range:
        """Takes the students of earlier stages for assistants (Mirzadeh et al., AAAI
        2020; Son et al., ICCV 2021)."""
        first = {"run": count, "previous_stage": max(0, count - 1), "all_stages": 0}
        return range(first[self.teachers], count)

    def asks_run_teacher(self, earlier: int) -> bool:
        return self.teachers != "previous_stage" or not earlier

    @property
    def trained_steps(self) -> int:
        return self.steps

    @property
    def objectives(self) -> Losses:
        return self.losses
