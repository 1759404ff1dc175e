"""Self-distillation from the last batch.

Legend: B batch, H half of it, E joint embedding.
"""

from __future__ import annotations

import copy
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
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from made import made_loader  # type: ignore[import-not-found]
from processes import (  # type: ignore[import-not-found]
    SHAPE,
    make_batch,
    make_phase,
)

from tinyclip.config.load import load_recipe
from tinyclip.errors import UserError
from tinyclip.model.clip import Features
from tinyclip.pipeline.plan import check
from tinyclip.training.engine import Engine
from tinyclip.training.state import State
from tinyclip.training.step import backward
from tinyclip.training.strategies import Course
from tinyclip.training.strategies.dlb import Dlb, DlbOptions

Matrix = NDArray[np.float64]
SIZE, WIDTH = 8, 4
LOADER = made_loader(SHAPE, 40, SIZE)


def features(seed: int, scale: float) -> Features:
    generator = torch.Generator().manual_seed(seed)
    image_BE, text_BE = (
        F.normalize(torch.randn(SIZE, WIDTH, generator=generator).double(), dim=-1)
        for _ in range(2)
    )
    return Features(image_BE, text_BE, torch.tensor(scale).double())


def made(world: int = 1, **options: Any) -> Dlb:
    course = Course(10, LOADER, WIDTH, world)
    return Dlb(DlbOptions(**options), course).double()


def kl(wanted: Matrix, given: Matrix) -> float:
    p, q = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (wanted, given))
    return float((p * (np.log(p) - np.log(q))).sum(-1).mean())


def consistency(before: Features, now: Features, t: float) -> float:
    """The last half of one batch, and the first of the next."""
    half = SIZE // 2
    v, s = (x[half:].numpy() for x in (before.image_BE, before.text_BE))
    w, u = (x[:half].numpy() for x in (now.image_BE, now.text_BE))
    z, y = float(before.scale) * v @ s.T / t, float(now.scale) * w @ u.T / t
    return t**2 * (kl(z, y) + kl(z.T, y.T)) / 2


def seen(one: Dlb, side: Features, step: int) -> Any:
    loss = one.beside(side, step)
    one.after()
    return loss


def test_the_loss_is_that_of_the_formula() -> None:
    one, before, now = (
        made(weight=0.5, temperature=2.0),
        features(0, 5.0),
        features(1, 6.0),
    )
    assert seen(one, before, 3) is None  # nothing was said before
    loss = one.beside(now, 4)
    assert float(loss) == pytest.approx(0.5 * consistency(before, now, 2.0), rel=1e-9)


def test_a_student_that_says_the_same_loses_nothing() -> None:
    one, before = made(), features(0, 5.0)
    seen(one, before, 0)
    turned = [torch.roll(x, SIZE // 2, 0) for x in (before.image_BE, before.text_BE)]
    again = replace(before, image_BE=turned[0], text_BE=turned[1])
    assert float(one.beside(again, 1)) == pytest.approx(0, abs=1e-12)


def test_after_a_step_that_was_skipped_there_is_none() -> None:
    one = made()
    seen(one, features(0, 5.0), 3)
    one.beside(features(1, 5.0), 4)  # skipped: no update follows
    assert seen(one, features(2, 5.0), 5) is None
    assert seen(one, features(3, 5.0), 6) is not None


def test_what_was_said_has_no_gradient_and_what_is_said_has_the_right_one() -> None:
    one, before, now = made(), features(0, 5.0), features(1, 6.0)
    first = before.image_BE.clone().requires_grad_()
    seen(one, replace(before, image_BE=first), 0)
    leaf = now.image_BE.clone().requires_grad_()
    one.beside(replace(now, image_BE=leaf), 1).backward()
    assert first.grad is None
    assert leaf.grad is not None and not leaf.grad[SIZE // 2 :].any()
    for place in ((0, 0), (3, 2)):
        values = []
        for by in (1e-6, -1e-6):
            moved = now.image_BE.clone()
            moved[place] += by
            values.append(consistency(before, replace(now, image_BE=moved), 3.0))
        slope = (values[0] - values[1]) / 2e-6
        assert float(leaf.grad[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_processes_have_a_part_of_each_half() -> None:
    whole, parts = made(), made(world=2)
    rows = torch.tensor([0, 1, 4, 5, 2, 3, 6, 7])  # as two processes gather them

    def gathered(side: Features) -> Features:
        turned = (side.image_BE[rows], side.text_BE[rows])
        return replace(side, image_BE=turned[0], text_BE=turned[1])

    for step, seed in enumerate((0, 1, 2)):
        side = features(seed, 5.0)
        alone, together = seen(whole, side, step), seen(parts, gathered(side), step)
        if step:
            assert float(alone) == pytest.approx(float(together), rel=1e-12)


def test_half_of_a_batch_is_the_last_ones() -> None:
    one, half = made(), SIZE // 2
    batches = [one.draw(LOADER, 3, step) for step in range(4)]
    for last, batch in zip(batches, batches[1:], strict=False):
        for name in ("index_B", "augmentation_B", "pixels", "tokens_BT"):
            was, is_now = getattr(last, name), getattr(batch, name)
            assert torch.equal(was[half:], is_now[:half])
        assert last.captions[half:] == batch.captions[:half]
    plain = LOADER.batch(3)
    assert torch.equal(batches[0].index_B, plain.index_B)
    assert torch.equal(batches[2].index_B, LOADER.batch(4).index_B)


def test_a_phase_without_it_reads_on_as_ever() -> None:
    phase = make_phase("distil", SHAPE, Engine())
    drawn = phase.draw(LOADER, 3, 2)
    assert torch.equal(drawn.pixels, LOADER.batch(5).pixels)


def test_a_half_that_does_not_divide_among_processes_is_refused() -> None:
    with pytest.raises(UserError, match="half of 8 pairs does not divide among 3"):
        made(world=3)


def test_an_odd_batch_is_refused_before_anything_is_loaded() -> None:
    sets = ("stages[*].distil.strategies={dlb: {}}", "stages[1].batch=17")
    with pytest.raises(UserError) as caught:
        check(load_recipe("smoke", sets))
    assert str(caught.value).startswith("stages[1].distil.strategies.dlb: takes half")
    assert "Set batch to 18" in str(caught.value)


def test_what_was_said_is_saved_and_resumed() -> None:
    whole = make_phase("distil+dlb", SHAPE, Engine())
    batches = [make_batch(SHAPE, 8, step) for step in range(6)]

    def go(phase: Any, steps: range) -> list[float]:
        losses = []
        for step in steps:
            _, parts = backward(phase, batches[step], step, phase.engine, 1)
            assert phase.engine.update(phase.optimizer)
            phase.after()
            losses.append(float(parts.get("dlb", torch.tensor(-1.0))))
        return losses

    assert [loss > 0 for loss in go(whole, range(3))] == [False, True, True]
    state = State("distil", 3, copy.deepcopy(whole.tensors()))
    assert {
        f"strategies.dlb.{n}" for n in ("image_HE", "text_HE", "scale", "last")
    } <= (set(state.tensors))
    expected = go(whole, range(3, 6))
    resumed = make_phase("distil+dlb", SHAPE, Engine())
    resumed.load(state)
    assert go(resumed, range(3, 6)) == expected
    mine, theirs = resumed.tensors(), whole.tensors()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
