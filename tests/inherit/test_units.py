"""The choice of units and their way down, against deflation by hand in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.inherit import units
from tinyclip.inherit.units import chosen_units, explained

Array = np.ndarray


def drawn(seed: int, units: int, out: int, count: int) -> tuple[Array, Array, Array]:
    """Hidden units as a way up and a rectifier make them, their moment, a way down."""
    draw = np.random.default_rng(seed).normal
    hidden = np.maximum(draw(size=(count, 6)) @ draw(size=(6, units)), 0)
    hidden *= np.geomspace(1, 0.1, units) if units else 1
    return hidden, hidden.T @ hidden / max(count, 1), draw(size=(out, units))


def deflated(second: Array, down: Array, count: int) -> tuple[list[int], list[float]]:
    """The definition: every gain anew at every step."""
    left, order, gains = second.copy(), [], []
    for _ in range(count):
        own = np.diagonal(left)
        is_live = own > 1e-8 * np.diagonal(second)
        gain = np.square(down @ left).sum(0) / np.where(is_live, own, 1)
        gain = np.where(is_live, gain, -1)
        gain[order] = -2
        best = int(gain.argmax())
        order.append(best)
        gains.append(float(max(gain[best], 0)))
        if gain[best] > 0:
            left = left - np.outer(left[:, best], left[best]) / left[best, best]
    return order, gains


def chosen(second: Array, down: Array, count: int) -> tuple[list[int], Array]:
    order, gains = chosen_units(torch.from_numpy(second), torch.from_numpy(down), count)
    return order.tolist(), gains.numpy()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), panel=st.sampled_from([1, 3, 64]))
def test_units_come_in_the_order_of_deflation_by_hand_whatever_the_panel(
    seed: int, panel: int
) -> None:
    _, second, down = drawn(seed, 20, 7, 200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "PANEL", panel)
        order, gains = chosen(second, down, 20)
    expected_order, expected = deflated(second, down, 20)
    assert order == expected_order
    np.testing.assert_allclose(gains, expected, rtol=1e-7, atol=1e-12)


def test_gains_stay_exact_over_many_panels() -> None:
    draw = np.random.default_rng(0).normal
    hidden = draw(size=(400, 160)) * np.geomspace(1, 1e-3, 160)
    hidden = np.maximum(hidden @ draw(size=(160, 160)), 0)
    second, down = hidden.T @ hidden / 400, draw(size=(12, 160))
    order, gains = chosen(second, down, 160)
    expected_order, expected = deflated(second, down, 160)
    assert order == expected_order
    np.testing.assert_allclose(gains, expected, rtol=1e-6, atol=1e-12 * expected[0])


def test_gains_of_all_units_sum_to_what_the_output_holds() -> None:
    _, second, down = drawn(0, 30, 5, 300)
    _, gains = chosen(second, down, 30)
    assert gains.sum() == pytest.approx(np.trace(down @ second @ down.T), rel=1e-9)


def test_a_gain_is_what_the_output_loses_no_more_when_its_unit_joins() -> None:
    _, second, down = drawn(3, 12, 5, 300)
    order, gains = chosen(second, down, 12)
    lost = [solved(second, down, order[:k], 0.0)[1] for k in range(13)]
    np.testing.assert_allclose(-np.diff(lost), gains, atol=1e-10 * lost[0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(0, 9))
def test_fewer_rows_than_units_leave_the_rest_last_in_its_own_order(
    seed: int, count: int
) -> None:
    _, second, down = drawn(seed, 16, 7, count)
    order, gains = chosen(second, down, 16)
    assert sorted(order) == list(range(16))
    live = int((gains > 0).sum())
    assert live <= count
    assert order[live:] == sorted(order[live:])
    assert not gains[live:].any() and np.isfinite(gains).all()


def test_dead_units_and_units_that_nobody_reads_come_last() -> None:
    _, second, down = drawn(0, 10, 7, 200)
    second[[2, 7]] = second[:, [2, 7]] = 0  # always 0
    second[4], second[:, 4] = 0, 0
    second[4, 4], down[:, 4] = 1, 0  # alone, and not read
    order, gains = chosen(second, down, 10)
    assert order[7:] == [2, 4, 7] and not gains[7:].any()
    assert gains[6] > 0


def test_of_twins_one_is_chosen_and_the_other_comes_last() -> None:
    hidden, _, down = drawn(0, 10, 7, 200)
    hidden[:, 5] = 2 * hidden[:, 3]
    order, _ = chosen(hidden.T @ hidden / 200, down, 10)
    assert order[-1] in (3, 5)


def test_a_float32_moment_s_rounding_carries_nothing() -> None:
    # 6 units of 40 tell all others; what float32 leaves of those is noise
    draw = np.random.default_rng(0).normal
    hidden = (draw(size=(500, 6)) @ draw(size=(6, 40))).astype(np.float32)
    order, gains = chosen(hidden.T @ hidden / 500, draw(size=(7, 40)), 40)
    assert sorted(order) == list(range(40))
    assert gains[6:].sum() < 1e-4 * gains[:6].sum()


def test_a_count_chooses_the_first_of_the_whole_order() -> None:
    _, second, down = drawn(0, 20, 7, 200)
    order, gains = chosen(second, down, 20)
    few, first = chosen(second, down, 6)
    assert few == order[:6]
    np.testing.assert_allclose(first, gains[:6], rtol=1e-12)


@pytest.mark.parametrize("count", [-1, 5])
def test_more_units_than_there_are_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="units of 4"):
        chosen_units(torch.eye(4), torch.ones(2, 4), count)


# the way down


def solved(
    second: Array, down: Array, kept: list[int], ridge: float
) -> tuple[Array, float]:
    found = explained(
        torch.from_numpy(second),
        torch.from_numpy(down),
        torch.tensor(kept).long(),
        ridge,
    )
    return found.down_DK.numpy(), found.left


def test_the_way_down_is_ridge_regression_on_the_rows() -> None:
    hidden, second, down = drawn(0, 14, 5, 200)
    kept, ridge = [9, 2, 5], 1e-2
    lift = np.sqrt(ridge * np.diagonal(second).mean() * 200)
    rows = np.concatenate([hidden[:, kept], lift * np.eye(3)])
    aims = np.concatenate([hidden @ down.T, np.zeros((3, 5))])
    expected = np.linalg.lstsq(rows, aims)[0].T
    found, left = solved(second, down, kept, ridge)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    lost = hidden @ down.T - hidden[:, kept] @ expected.T
    assert left == pytest.approx(np.square(lost).sum(1).mean(), rel=1e-10)


def test_with_the_mean_it_is_ridge_regression_with_an_intercept() -> None:
    hidden, second, down = drawn(0, 14, 5, 200)
    kept, mean = [9, 2, 5], hidden.mean(0)
    centred = hidden - mean
    lift = np.sqrt(1e-2 * np.square(centred).sum(0).mean())
    rows = np.concatenate([centred[:, kept], lift * np.eye(3)])
    aims = np.concatenate([centred @ down.T, np.zeros((3, 5))])
    expected = np.linalg.lstsq(rows, aims)[0].T
    second_, down_, mean_ = map(torch.from_numpy, (second, down, mean))
    found = explained(second_, down_, torch.tensor(kept), 1e-2, mean_)
    np.testing.assert_allclose(found.down_DK, expected, rtol=1e-8)
    lost = hidden @ down.T - hidden[:, kept] @ expected.T - found.bias_D.numpy()
    np.testing.assert_allclose(lost.mean(0), 0, atol=1e-12)
    assert found.left == pytest.approx(np.square(lost).sum(1).mean(), rel=1e-9)
    assert found.whole == pytest.approx(np.square(centred @ down.T).sum(1).mean())


def test_all_units_without_a_ridge_keep_their_way_down() -> None:
    _, second, down = drawn(0, 6, 5, 200)
    found, left = solved(second, down, list(range(6)), 0.0)
    np.testing.assert_allclose(found, down, rtol=1e-9)
    assert left < 1e-10


@pytest.mark.parametrize("ridge", [0.0, 1e-4])
def test_units_that_tell_each_other_are_solved_all_the_same(ridge: float) -> None:
    hidden, _, down = drawn(0, 12, 5, 4)  # 4 rows, 12 units
    second = hidden.T @ hidden / 4
    kept = [*range(10)]
    found, left = solved(second, down, kept, ridge)
    assert np.abs(found).max() < 100
    lost = hidden @ down.T - hidden[:, kept] @ found.T
    assert np.square(lost).sum(1).mean() == pytest.approx(left, abs=1e-6)
    assert left < 1e-3 * np.trace(down @ second @ down.T)


def test_no_units_lose_the_whole_and_leave_the_mean() -> None:
    hidden, second, down = drawn(0, 6, 5, 200)
    second_, down_, mean_ = map(torch.from_numpy, (second, down, hidden.mean(0)))
    found = explained(second_, down_, torch.zeros(0).long(), 1e-4, mean_)
    assert found.down_DK.shape == (5, 0)
    assert found.left == found.whole > 0
    np.testing.assert_allclose(found.bias_D, down @ hidden.mean(0))


@pytest.mark.parametrize(("ridge", "entry"), [(-1e-4, 1.0), (1e-4, torch.nan)])
def test_a_negative_ridge_and_a_broken_moment_are_refused(
    ridge: float, entry: float
) -> None:
    with pytest.raises(ValueError, match="ridge|finite"):
        explained(torch.eye(2) * entry, torch.ones(1, 2), torch.tensor([0]), ridge)
