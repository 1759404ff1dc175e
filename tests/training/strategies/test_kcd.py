"""Knowledge condensation: which pairs are worth teaching.

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

from processes import (  # type: ignore[import-not-found]
    PAIRS,
    SHAPE,
    make_batch,
    make_phase,
)

from tinyclip.losses import weighted
from tinyclip.model.clip import Features
from tinyclip.training.engine import Engine
from tinyclip.training.state import State
from tinyclip.training.step import backward
from tinyclip.training.strategies import Course
from tinyclip.training.strategies.kcd import Kcd, KcdOptions

Matrix = NDArray[np.float64]
SIZE = 6


def features(seed: int, scale: float, rows: list[int] | None = None) -> Features:
    generator = torch.Generator().manual_seed(seed)
    image_BE, text_BE = (
        F.normalize(torch.randn(SIZE, 4, generator=generator).double(), dim=-1)
        for _ in range(2)
    )
    more = {} if rows is None else {"kcd.row": torch.tensor(rows)}
    return Features(image_BE, text_BE, torch.tensor(scale).double(), more=more)


def kl_rows(wanted: Matrix, given: Matrix) -> Matrix:
    p, q = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (wanted, given))
    return np.asarray((p * (np.log(p) - np.log(q))).sum(-1))


def logits(side: Features) -> Matrix:
    return np.asarray(
        float(side.scale) * side.image_BE.numpy() @ side.text_BE.numpy().T
    )


def divergences(mine: Features, theirs: Features) -> Matrix:
    z, t = logits(mine), logits(theirs)
    return (kl_rows(t, z) + kl_rows(t.T, z.T)) / 2


def made(rows: int, steps: int = 10, **options: Any) -> Kcd:
    loader: Any = type("Pairs", (), {"pairs": range(rows)})
    return Kcd(KcdOptions(**options), Course(steps, loader)).double()


MINE, THEIRS = features(0, 5.0, [3, 1, 7, 0, 4, 6]), features(1, 7.0)


def test_a_value_is_the_running_divergence_of_its_pair() -> None:
    one = made(9, momentum=0.8)
    first = divergences(MINE, THEIRS)
    one.sides(MINE, (THEIRS,), 0)
    assert not one.seen_R.any()  # not before the update
    one.after()
    assert one.seen_R.nonzero().flatten().tolist() == [0, 1, 3, 4, 6, 7]
    rows = MINE.more["kcd.row"].numpy()
    assert one.value_R.numpy()[rows] == pytest.approx(first, rel=1e-9)
    again = features(5, 5.0, [3, 1, 7, 0, 4, 2])
    one.sides(again, (THEIRS,), 1)
    one.after()
    second = divergences(again, THEIRS)
    expected = 0.8 * first[:5] + 0.2 * second[:5]
    assert one.value_R.numpy()[rows[:5]] == pytest.approx(expected, rel=1e-9)
    assert float(one.value_R[2]) == pytest.approx(second[5], rel=1e-9)  # new
    assert float(one.value_R[6]) == pytest.approx(first[5], rel=1e-9)  # not seen again


def test_under_several_teachers_it_is_the_mean() -> None:
    one, other = made(9), features(2, 6.0)
    one.sides(MINE, (THEIRS, other), 0)
    one.after()
    mean = (divergences(MINE, THEIRS) + divergences(MINE, other)) / 2
    rows = MINE.more["kcd.row"].numpy()
    assert one.value_R.numpy()[rows] == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize(("weak", "other"), [("drop", 0.0), ("strengthen", 3.0)])
def test_the_lowest_are_weak(weak: str, other: float) -> None:
    one = made(9, keep=0.5, weak=weak, strength=3.0)
    student, _ = one.sides(MINE, (THEIRS,), 10)  # the end: half are
    assert student.weight_B is not None
    lowest = np.argsort(divergences(MINE, THEIRS))[:3]
    expected = np.ones(SIZE)
    expected[lowest] = other
    expected /= expected.mean()
    assert student.weight_B.numpy() == pytest.approx(expected)
    assert float(one.told()["weak"]) == 0.5


def test_who_is_weak_is_told_among_all_that_were_seen() -> None:
    one = made(12, keep=0.5)
    with torch.no_grad():
        one.value_R[8:] = 1e-9  # four that teach nothing any more
        one.seen_R[8:] = True
    student, _ = one.sides(MINE, (THEIRS,), 10)
    assert student.weight_B is not None
    assert int((student.weight_B == 0).sum()) == 1  # 5 of 10, four of them elsewhere


def test_at_first_nobody_is_weak_and_the_share_falls_by_half_a_cosine() -> None:
    one = made(9, steps=100, keep=0.6)
    student, _ = one.sides(MINE, (THEIRS,), 0)
    assert student.weight_B is not None and student.weight_B.unique().tolist() == [1.0]
    assert one.share(50) == pytest.approx(0.8)
    assert one.share(100) == pytest.approx(0.6)
    assert one.share(25) == pytest.approx(1 - 0.4 * (1 - math.cos(math.pi / 4)) / 2)


def test_a_row_that_a_batch_holds_twice_counts_as_its_mean() -> None:
    one, mine = made(9), features(0, 5.0, [3, 3, 7, 0, 4, 6])
    one.sides(mine, (THEIRS,), 0)
    one.after()
    found = divergences(mine, THEIRS)
    assert float(one.value_R[3]) == pytest.approx(found[:2].mean(), rel=1e-9)


WEIGHTS = torch.tensor([0.0, 2.0, 1.0, 0.5, 0.0, 2.5]).double()


def test_weights_multiply_the_rows_of_a_comparison() -> None:
    heavy = replace(MINE, weight_B=WEIGHTS)
    z, t = logits(MINE), logits(THEIRS)
    rows, columns = kl_rows(t, z), kl_rows(t.T, z.T)
    expected = (WEIGHTS.numpy() * (rows + columns)).mean()
    loss, _ = weighted({"crd": 1.0}, heavy, THEIRS)
    assert float(loss) == pytest.approx(expected, rel=1e-9)
    half, parts = weighted({"affinity": 1.0}, heavy, THEIRS)
    assert float(parts["affinity_kl"]) == pytest.approx(expected / 2, rel=1e-9)


@pytest.mark.parametrize("name", ["affinity", "crd", "intra", "kd", "sigmoid"])
def test_weights_of_1_change_nothing_and_of_0_all(name: str) -> None:
    shift = torch.tensor(-2.0).double()
    mine, theirs = (replace(one, bias=shift) for one in (MINE, THEIRS))
    plain = weighted({name: 1.0}, mine, theirs)[0]
    ones = weighted({name: 1.0}, replace(mine, weight_B=torch.ones(SIZE)), theirs)[0]
    nothing = replace(mine, weight_B=torch.zeros(SIZE))
    assert float(ones) == pytest.approx(float(plain), rel=1e-12)
    own = weighted({"contrastive": 1.0}, mine, theirs)[0] if name == "kd" else 0.0
    zero = weighted({name: 1.0}, nothing, theirs)[0]
    assert float(zero) == pytest.approx(float(own), abs=1e-12)


@pytest.mark.parametrize("name", ["contrastive", "dist", "feature", "icl"])
def test_what_compares_no_distributions_is_not_weighted(name: str) -> None:
    heavy = replace(MINE, weight_B=WEIGHTS)
    plain = weighted({name: 1.0}, MINE, THEIRS)[0]
    assert torch.equal(weighted({name: 1.0}, heavy, THEIRS)[0], plain)


def test_values_are_saved_and_resumed() -> None:
    whole = make_phase("distil+kcd", SHAPE, Engine())
    batches = [make_batch(SHAPE, 8, step) for step in range(20)]

    def go(phase: Any, steps: range) -> None:
        for step in steps:
            backward(phase, batches[step], step, phase.engine, 1)
            assert phase.engine.update(phase.optimizer)
            phase.after()

    go(whole, range(16))
    state = State("distil", 16, copy.deepcopy(whole.tensors()))
    assert state.tensors["strategies.kcd.value_R"].shape == (PAIRS,)
    assert state.tensors["strategies.kcd.seen_R"].sum() == 8
    go(whole, range(16, 20))
    assert float(whole.strategies["kcd"].told()["weak"]) > 0
    resumed = make_phase("distil+kcd", SHAPE, Engine())
    resumed.load(state)
    go(resumed, range(16, 20))
    mine, theirs = resumed.tensors(), whole.tensors()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
