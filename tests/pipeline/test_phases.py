"""A phase is known by what it says of itself, and by nothing else."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tinyclip.config.load import load_recipe
from tinyclip.config.schema import PHASES, Distil, Learn, Manual, Stage
from tinyclip.data.batch import Batch
from tinyclip.losses.objectives import Parts
from tinyclip.losses.teachers import Teachers
from tinyclip.model.clip import Clip, Features
from tinyclip.pipeline import phases
from tinyclip.pipeline.estimate import macs, plan_stage, works_of
from tinyclip.training.engine import Engine
from tinyclip.training.optim import Trainable
from tinyclip.training.phase import Student, TrainingPhase
from tinyclip.training.state import State
from tinyclip.training.step import backward
from tinyclip.training.teacher.live import LiveTeacher


def test_every_phase_has_the_file_of_its_name_and_every_file_is_a_phase() -> None:
    folder = Path(str(phases.__file__)).parent
    assert {path.stem for path in folder.glob("[!_]*.py")} == set(PHASES)
    assert all(callable(phases.phase_called(name)) for name in PHASES)


def test_a_stage_tells_what_its_phases_do() -> None:
    whole = Stage(learn=Learn(steps=3), distil=Distil(steps=4))
    assert whole.steps == {"learn": 3, "distil": 4}
    assert whole.cuts and whole.trains_uncut
    cut = Stage(phases=("score", "inherit", "distil"), distil=Distil(steps=4))
    assert cut.steps == {"distil": 4}
    assert cut.cuts and not cut.trains_uncut
    last = Stage(phases=("distil",))
    assert not last.cuts and last.trains_uncut


def test_a_choice_by_hand_heeds_no_sites() -> None:
    asked = Stage(sites=("ffn",), phases=("manual", "inherit"), manual=Manual())
    assert asked.cut_sites == ("heads", "ffn", "embed")
    assert Stage(sites=("ffn",)).cut_sites == ("ffn",)


def test_a_step_costs_what_the_model_has_where_the_phase_stands(
    pico_clip: Clip, siglip_clip: Clip
) -> None:
    start, end = siglip_clip.shape, pico_clip.shape
    works = works_of(Stage(), start, end)
    assert works["learn"] == macs(start) != macs(end) == works["distil"]


def test_a_plan_counts_what_a_phase_looks_at(pico_clip: Clip) -> None:
    def seconds(**tries: int) -> float:
        overrides = [f"stages[*].allocate.{name}={n}" for name, n in tries.items()]
        recipe = load_recipe("cut", overrides)
        return float(plan_stage(recipe, 1, pico_clip.shape, False, 1e6)["seconds"])

    assert seconds() > 0
    assert seconds(tries=9) > seconds(tries=6) == seconds()


class WithProjection(TrainingPhase):
    """A phase with parameters of its own: nothing else knows of them."""

    name = "planted"

    def __init__(self, model: Clip, teacher: Clip, projection: nn.Linear) -> None:
        self.projection = projection
        live = LiveTeacher(teacher, Engine(), None)
        super().__init__(model, live, Engine(), Distil(steps=4), Student())

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "projection": self.projection}

    def trainables(self) -> tuple[Trainable, ...]:
        named = {f"projection.{k}": v for k, v in self.projection.named_parameters()}
        own = Trainable(named, lr=0.01, betas=(0.9, 0.99), eps=1e-8, clip=0.5)
        return (*super().trainables(), own)

    def objective(
        self, student: Features, teacher: Teachers, step: int
    ) -> tuple[Tensor, Parts]:
        loss, parts = super().objective(student, teacher, step)
        assert isinstance(teacher, tuple)
        distance = self.projection(student.image_BE) - teacher[0].image_BE
        return loss + distance.square().mean(), parts


def train(phase: WithProjection, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        pixels = torch.randn(4, 3, 16, 16, generator=generator)
        ids = torch.randint(0, 50, (4, 8), generator=generator)
        rows = torch.arange(4)
        batch = Batch(rows, torch.zeros_like(rows), pixels, ids)
        backward(phase, batch, step, phase.engine, 1)
        assert phase.engine.update(phase.optimizer)
        phase.after()


@pytest.fixture
def parts(pico_clip: Clip) -> tuple[Clip, Clip, nn.Linear]:
    teacher = copy.deepcopy(pico_clip)
    with torch.no_grad():
        teacher.text.position += 0.1
    torch.manual_seed(0)
    return pico_clip, teacher, nn.Linear(12, 12)


def test_parameters_that_come_with_a_phase_are_trained_and_resume(
    parts: tuple[Clip, Clip, nn.Linear],
) -> None:
    whole, half, rest = (WithProjection(*copy.deepcopy(parts)) for _ in range(3))
    before = half.projection.weight.detach().clone()
    train(whole, range(4))
    train(half, range(2))
    assert not torch.equal(half.projection.weight, before)
    rest.load(State("planted", 2, half.tensors()))
    train(rest, range(2, 4))
    mine, theirs = rest.tensors(), whole.tensors()
    assert set(mine) == set(theirs)
    assert "optimizer.exp_avg.projection.weight" in mine
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
