"""A temperature that is learned against the student.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import SHAPE, make_batch, make_phase, train  # type: ignore[import-not-found]

from tinyclip.config.load import load_recipe
from tinyclip.config.place import Place
from tinyclip.errors import UserError
from tinyclip.losses import weighted
from tinyclip.model.clip import Features
from tinyclip.pipeline.plan import check
from tinyclip.training.engine import Engine
from tinyclip.training.state import State
from tinyclip.training.step import backward
from tinyclip.training.strategies import Course, settled
from tinyclip.training.strategies.ctkd import Ctkd, CtkdOptions, Reversed

NAME = "strategies.ctkd.place"
Matrix = NDArray[np.float64]


def features(seed: int, scale: float, bias: float | None = None) -> Features:
    generator = torch.Generator().manual_seed(seed)
    image_BE, text_BE = (
        F.normalize(torch.randn(5, 4, generator=generator).double(), dim=-1)
        for _ in range(2)
    )
    shift = None if bias is None else torch.tensor(bias).double()
    return Features(image_BE, text_BE, torch.tensor(scale).double(), shift)


MINE, THEIRS = features(0, 6.0), features(1, 9.0)


def logits(side: Features) -> Matrix:
    return np.asarray(
        float(side.scale) * side.image_BE.numpy() @ side.text_BE.numpy().T
    )


def softmax(z: Matrix) -> Matrix:
    raised = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def kl(wanted: Matrix, given: Matrix) -> float:
    p, q = softmax(wanted), softmax(given)
    return float((p * (np.log(p) - np.log(q))).sum(-1).mean())


def divergence(t: float) -> float:
    """τ² times the mean of both directions."""
    mine, theirs = logits(MINE) / t, logits(THEIRS) / t
    return t**2 * (kl(theirs, mine) + kl(theirs.T, mine.T)) / 2


def heated(side: Features, t: torch.Tensor) -> Features:
    return replace(side, temperature=t)


def value(name: str, t: torch.Tensor) -> torch.Tensor:
    return weighted({name: 1.0}, heated(MINE, t), heated(THEIRS, t))[0]


@pytest.mark.parametrize(("name", "times"), [("crd", 2.0), ("affinity", 1.0)])
def test_the_gradient_by_the_temperature_is_that_of_the_divergence(
    name: str, times: float
) -> None:
    for at in (0.6, 1.0, 3.0):
        t = torch.tensor(at).double().requires_grad_()
        value(name, t).backward()
        slope = (divergence(at + 1e-5) - divergence(at - 1e-5)) / 2e-5
        assert t.grad is not None
        assert float(t.grad) == pytest.approx(times * slope, rel=1e-6)


def test_a_divergence_is_multiplied_with_the_square() -> None:
    t = torch.tensor(2.5).double()
    assert float(value("crd", t)) == pytest.approx(2 * divergence(2.5), rel=1e-12)


@pytest.mark.parametrize("name", ["affinity", "crd", "intra", "kd", "mimic", "sigmoid"])
def test_a_temperature_of_1_changes_nothing(name: str) -> None:
    mine, theirs = (features(seed, 6.0, -2.0) for seed in (0, 1))
    one = torch.tensor(1.0).double()
    plain = weighted({name: 1.0}, mine, theirs)[0]
    warm = weighted({name: 1.0}, heated(mine, one), heated(theirs, one))[0]
    assert float(warm) == pytest.approx(float(plain), rel=1e-12)


def test_what_compares_no_distributions_has_no_temperature() -> None:
    t = torch.tensor(3.0).double()
    for name in ("contrastive", "dist", "feature", "icl"):
        plain = weighted({name: 1.0}, MINE, THEIRS)[0]
        assert torch.equal(value(name, t), plain)


@pytest.mark.parametrize("name", ["affinity", "kd", "intra", "sigmoid"])
def test_the_students_gradient_is_the_finite_difference(name: str) -> None:
    t = torch.tensor(1.7).double()
    mine, theirs = (features(seed, 6.0, -2.0) for seed in (0, 1))
    leaf = mine.image_BE.clone().requires_grad_()

    def loss(image_BE: torch.Tensor) -> torch.Tensor:
        moved = replace(heated(mine, t), image_BE=image_BE)
        return weighted({name: 1.0}, moved, heated(theirs, t))[0]

    loss(leaf).backward()
    assert leaf.grad is not None
    for place in ((0, 0), (2, 3), (4, 1)):
        values = []
        for by in (1e-6, -1e-6):
            moved = leaf.detach().clone()
            moved[place] += by
            values.append(float(loss(moved)))
        slope = (values[0] - values[1]) / 2e-6
        assert float(leaf.grad[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_the_reversal_turns_the_gradient_round_and_nothing_else() -> None:
    x = torch.tensor([1.0, 2.0]).double().requires_grad_()
    out: Any = Reversed.apply(x, 0.25)
    assert torch.equal(out, x)
    (3 * out).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [-0.75, -0.75]


def test_lambda_rises_by_half_a_cosine_and_stays() -> None:
    one = Ctkd(CtkdOptions(strength=2.0, ramp=0.5), Course(steps=100))
    assert one.strength(0) == 0
    assert one.strength(25) == pytest.approx(1.0)
    assert one.strength(10) == pytest.approx(1 - math.cos(math.pi * 0.2))
    assert one.strength(50) == one.strength(99) == 2.0


def test_the_temperature_starts_where_it_is_told_and_stays_between_the_bounds() -> None:
    one = Ctkd(CtkdOptions(start=2.0, low=1.0, high=4.0), Course(steps=4))
    assert one.temperature.item() == pytest.approx(2.0)
    with torch.no_grad():
        for place, bound in ((-50.0, 1.0), (50.0, 4.0)):
            one.place.fill_(place)
            assert one.temperature.item() == pytest.approx(bound)


def test_it_climbs_what_the_student_descends() -> None:
    """One step of either on its own changes the loss in opposite directions."""
    phase = make_phase("distil+ctkd", SHAPE, Engine())
    batch, step = make_batch(SHAPE, 8, 0), 15
    backward(phase, batch, step, phase.engine, 1)
    place = phase.strategies["ctkd"].place
    assert place.grad is not None

    @torch.no_grad()
    def loss() -> float:
        sides = phase.features(batch, step), phase.teacher_features(batch, step)
        return float(phase.objective(*sides, step)[0])

    before, way = loss(), place.grad.sign()
    with torch.no_grad():
        place -= 1e-3 * way  # as the optimiser goes
    assert loss() > before


def test_without_lambda_it_does_not_move_it() -> None:
    phase = make_phase("distil+ctkd", SHAPE, Engine())
    backward(phase, make_batch(SHAPE, 8, 0), 0, phase.engine, 1)
    assert not float(phase.strategies["ctkd"].place.grad)


def test_it_is_learned_saved_and_resumed() -> None:
    whole = make_phase("distil+ctkd", SHAPE, Engine())
    before = copy.deepcopy(whole.tensors())
    batches = [make_batch(SHAPE, 8, step) for step in range(6)]

    def go(phase: Any, steps: range) -> None:
        for step in steps:
            backward(phase, batches[step], step, phase.engine, 1)
            assert phase.engine.update(phase.optimizer)
            phase.after()

    go(whole, range(4))
    state = State("distil", 4, copy.deepcopy(whole.tensors()))
    assert not torch.equal(state.tensors[NAME], before[NAME])
    assert f"optimizer.exp_avg.{NAME}" in state.tensors
    go(whole, range(4, 6))
    resumed = make_phase("distil+ctkd", SHAPE, Engine())
    resumed.load(state)
    go(resumed, range(4, 6))
    mine, theirs = resumed.tensors(), whole.tensors()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_a_phase_without_strategies_has_no_state_of_any() -> None:
    phase = make_phase("distil", SHAPE, Engine())
    assert not [name for name in phase.tensors() if "strateg" in name]


def test_it_is_finite_at_a_scale_of_100_in_half_precision() -> None:
    mine, theirs = features(0, 100.0), features(1, 100.0)
    for dtype in (torch.float16, torch.bfloat16):
        sides = [
            replace(one, image_BE=one.image_BE.to(dtype), text_BE=one.text_BE.to(dtype))
            for one in (mine, theirs)
        ]
        t = torch.tensor(0.5).requires_grad_()
        loss = weighted({"mimic": 1.0}, *(heated(one, t) for one in sides))[0]
        loss.backward()
        assert loss.isfinite() and t.grad is not None and t.grad.isfinite()


def asked(strategies: str, losses: str = "{mimic: 1.0}") -> Any:
    sets = (
        f"stages[*].distil.strategies={strategies}",
        f"stages[*].distil.losses={losses}",
    )
    return load_recipe("smoke", sets)


@pytest.mark.parametrize(
    ("strategies", "losses", "words"),
    [
        ("{ctdk: {}}", "{mimic: 1.0}", "unknown strategy 'ctdk'. Did you mean 'ctkd'?"),
        (
            "{ctkd: {rmap: 1}}",
            "{mimic: 1.0}",
            ".ctkd: unknown key 'rmap'. Did you mean",
        ),
        (
            "{ctkd: {low: 2.0}}",
            "{mimic: 1.0}",
            "starts at 1, which is not between low 2",
        ),
        ("{ctkd: {lr: -1}}", "{mimic: 1.0}", ".ctkd.lr: must be more than 0"),
        ("{ctkd: 1}", "{mimic: 1.0}", ".ctkd: wants settings by name, not 1"),
        (
            "{ctkd: {}}",
            "{feature: 1.0, crd: 0.0}",
            "losses has none. Add one of affinity",
        ),
    ],
)
def test_what_cannot_be_is_refused(strategies: str, losses: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        check(asked(strategies, losses))
    assert str(caught.value).startswith("stages[0].distil.strategies")
    assert words in str(caught.value)


def test_one_objective_with_distributions_is_enough() -> None:
    check(asked("{ctkd: {}}", "{feature: 1.0, crd: 0.5}"))
    assert settled({}, Place("x")) == {}


def test_it_trains_in_pieces_as_in_one() -> None:
    whole, split = (make_phase("learn+ctkd", SHAPE, Engine()) for _ in range(2))
    losses = train(whole, whole.engine), train(split, split.engine, 3)
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    mine, theirs = whole.tensors(), split.tensors()
    for name, value_ in mine.items():
        assert torch.allclose(value_, theirs[name], rtol=0, atol=1e-6), name
