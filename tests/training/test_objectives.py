"""Objectives that have parameters of their own."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from learnable import registered  # type: ignore[import-not-found]
from processes import (  # type: ignore[import-not-found]
    SHAPE,
    make_batch,
    phase_of,
    random_clip,
    train,
)

from tinyclip.config.place import Place
from tinyclip.config.schema import Distil
from tinyclip.errors import UserError
from tinyclip.losses import weighted
from tinyclip.losses.objectives import settle
from tinyclip.pipeline.phases.distil import DistilPhase
from tinyclip.training.engine import Engine
from tinyclip.training.phase import Student, TrainingPhase
from tinyclip.training.state import State
from tinyclip.training.step import backward
from tinyclip.training.teacher.live import LiveTeacher

NAMES = {"objectives.projected.projection." + part for part in ("weight", "bias")}
ALONE = {"projected": {"weight": 0.7, "temperature": 0.5}}


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with registered():
        yield


def alone(kind: str = "distil") -> TrainingPhase:
    phase: TrainingPhase = phase_of(kind, SHAPE, Engine(), ALONE)
    return phase


def seeded(seed: int, name: str = "projected") -> torch.Tensor:
    asked = settle({name: 1.0}, Place("x"))
    (module,) = (one.built(6, 9, seed).module for one in asked)
    assert module is not None
    weight: torch.Tensor = module.projection.weight  # type: ignore[union-attr,assignment]
    return weight


def test_its_start_follows_from_seed_and_name_and_moves_no_other_chance() -> None:
    before = torch.get_rng_state()
    first = seeded(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(77)
    assert first.shape == (9, 6)
    assert torch.equal(seeded(1), first)
    assert not torch.equal(seeded(2), first)
    with registered("other"):
        assert not torch.equal(seeded(1, "other"), first)


def test_without_weight_it_has_no_parameters() -> None:
    losses: Any = {"mimic": 1.0, "projected": 0.0}
    phase = phase_of("distil", SHAPE, Engine(), losses)
    assert set(phase.modules()) == {"model"}


def test_options_reach_it_and_wrong_ones_are_refused() -> None:
    module: Any = alone().losses[0].module
    assert module.options.temperature == 0.5
    with pytest.raises(UserError, match="temperature: must be more than 0"):
        settle({"projected": {"temperature": 0}}, Place("x"))


def test_nobody_computes_it_with_parameters_that_are_thrown_away() -> None:
    model = random_clip(SHAPE, 0)
    batch = make_batch(SHAPE, 4, 0)
    features = model(batch.pixels.double(), batch.tokens_BT)
    with pytest.raises(UserError, match="losses.projected: has parameters"):
        weighted({"projected": 1.0}, features, features)


def test_it_is_as_wide_as_both_embeddings_are() -> None:
    live = LiveTeacher(random_clip(SHAPE, 1), Engine(), None)
    student = Student(channels=(0, 2), teacher_width=11)
    settings = Distil(steps=3, losses=ALONE)
    phase = DistilPhase(random_clip(SHAPE, 0), live, Engine(), settings, student)
    module: Any = phase.losses[0].module
    assert module.projection.weight.shape == (11, 6)
    assert module.projection.weight.dtype == torch.float64  # as the model's


@pytest.mark.parametrize("kind", ["learn", "distil"])
def test_it_is_a_group_that_decays_and_is_clipped_by_itself(kind: str) -> None:
    phase = alone(kind)
    groups = phase.trainables()
    (own,) = (group for group in groups if set(group.parameters) == NAMES)
    weights, optim = groups[0], phase.optim
    assert not NAMES & set(weights.parameters)
    assert (own.lr, own.clip, own.scheduled) == (optim.lr, optim.clip, True)
    decayed, rest = own.groups()
    assert [p.ndim for p in (*decayed["params"], *rest["params"])] == [2, 1]
    assert (decayed["weight_decay"], rest["weight_decay"]) == (optim.weight_decay, 0)


def test_it_may_have_a_rate_of_its_own() -> None:
    live = LiveTeacher(random_clip(SHAPE, 1), Engine(), None)
    settings = Distil(steps=3, losses=ALONE, objective_lr=0.25)
    phase = DistilPhase(random_clip(SHAPE, 0), live, Engine(), settings, Student())
    weights, own = phase.trainables()
    assert (weights.lr, own.lr) == (settings.optim.lr, 0.25)
    assert own.scheduled and own.weight_decay == weights.weight_decay


@pytest.mark.parametrize("kind", ["learn", "distil"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_its_gradient_is_the_finite_difference(kind: str, pieces: int) -> None:
    phase = alone(kind)
    batch = make_batch(SHAPE, 6, 0)
    backward(phase, batch, 0, phase.engine, pieces)
    own = dict(phase.objective_modules()["objectives.projected"].named_parameters())
    tower = phase.model.image.blocks[1].ffn.up.weight  # its way into the student
    for parameter in (*own.values(), tower):
        assert parameter.grad is not None
        flat, gradient = parameter.detach().view(-1), parameter.grad.view(-1)
        for index in (0, len(flat) // 2, len(flat) - 1):
            losses = []
            for change in (1e-5, -2e-5):
                flat[index] += change
                losses.append(float(loss_of(phase, batch)))
            flat[index] += 1e-5
            slope = (losses[0] - losses[1]) / 2e-5
            assert float(gradient[index]) == pytest.approx(slope, rel=1e-5, abs=1e-9)


@torch.no_grad()
def loss_of(phase: TrainingPhase, batch: Any) -> torch.Tensor:
    student = phase.features(batch, 0)
    return phase.objective(student, phase.teacher.features(batch), 0)[0]


@pytest.mark.parametrize("kind", ["learn", "distil"])
def test_one_that_looks_at_pictures_alone_leaves_captions_alone_in_pieces(
    kind: str,
) -> None:
    whole, split = alone(kind), alone(kind)
    train(whole, whole.engine)
    train(split, split.engine, 3)
    mine, theirs = whole.tensors(), split.tensors()
    assert set(mine) == set(theirs)
    for name, value in mine.items():
        assert torch.allclose(value, theirs[name], rtol=0, atol=1e-6), name


def test_it_learns_and_goes_on_from_a_state_as_if_nothing_had_happened() -> None:
    whole = alone()
    before = copy.deepcopy(whole.tensors())
    batches = [make_batch(SHAPE, 8, step) for step in range(4)]

    def go(phase: TrainingPhase, steps: range) -> None:
        for step in steps:
            backward(phase, batches[step], step, phase.engine, 1)
            assert phase.engine.update(phase.optimizer)

    go(whole, range(2))
    state = State("distil", 2, copy.deepcopy(whole.tensors()))
    assert NAMES <= set(state.tensors)
    assert {f"optimizer.exp_avg.{name}" for name in NAMES} <= set(state.tensors)
    assert all(not torch.equal(state.tensors[name], before[name]) for name in NAMES)
    go(whole, range(2, 4))
    resumed = alone()
    resumed.load(state)
    go(resumed, range(2, 4))
    mine, theirs = resumed.tensors(), whole.tensors()
    assert set(mine) == set(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_frozen_weights_leave_it_to_learn() -> None:
    phase = alone()
    phase.model.requires_grad_(False)
    weights, own = phase.trainables()
    assert not weights.parameters
    assert set(own.parameters) == NAMES
    train(phase, phase.engine)
    assert own.parameters.keys() <= phase.optimizer.state()["step"].keys()
