"""Moments of rows, against NumPy float64 over all rows at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinyclip.inherit import moments
from tinyclip.inherit.moments import Moment


def rows_of(seed: int, *size: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(1, 2, size))


def moment_of(rows: Tensor, chunk: int = 4, mask: Tensor | None = None) -> Moment:
    moment = Moment(rows.shape[-1], chunk)
    moment.add(rows, mask)
    return moment


def assert_same(moment: Moment, rows: np.ndarray) -> None:
    assert moment.count == len(rows)
    np.testing.assert_allclose(moment.mean, rows.mean(0), rtol=1e-13)
    second = rows.T @ rows / len(rows)
    np.testing.assert_allclose(moment.second, second, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        moment.covariance, np.cov(rows.T, bias=True).reshape(second.shape), atol=1e-12
    )
    with_one = np.concatenate([rows, np.ones((len(rows), 1))], 1)
    augmented = with_one.T @ with_one / len(rows)
    np.testing.assert_allclose(moment.augmented, augmented, rtol=1e-12, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 40),
    width=st.integers(1, 6),
    chunk=st.integers(1, 50),
    cut=st.integers(0, 40),
)
def test_any_chunks_and_any_two_parts_make_the_moment_of_all_rows(
    count: int, width: int, chunk: int, cut: int
) -> None:
    rows = rows_of(count, count, width)
    moment = moment_of(rows[:cut], chunk)
    moment.add(rows[cut:])
    assert_same(moment, rows.numpy())


@pytest.mark.parametrize("tile", [1, 2, 3, 7, 8])
def test_products_that_mirror_each_other_are_made_once(
    tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "TILE", tile)
    rows = rows_of(2, 9, 7)
    assert_same(moment_of(rows), rows.numpy())


def test_rows_that_are_masked_do_not_count() -> None:
    rows, mask = rows_of(0, 3, 5, 4), rows_of(1, 3, 5) > 1
    assert 0 < mask.sum() < 15
    assert_same(moment_of(rows, mask=mask), rows.numpy()[mask.numpy()])


def test_a_row_of_weight_three_counts_as_three_rows() -> None:
    rows = rows_of(0, 12, 4)
    weights = torch.arange(12) % 4
    again = np.repeat(rows.numpy(), weights.numpy(), axis=0)
    assert_same(moment_of(rows, mask=weights), again)


def test_means_do_not_depend_on_the_scale_of_the_weights() -> None:
    rows, weights = rows_of(0, 12, 4), rows_of(1, 12).abs()
    one, tiny = moment_of(rows, mask=weights), moment_of(rows, mask=weights * 1e-6)
    np.testing.assert_allclose(one.augmented, tiny.augmented, rtol=1e-12)


def test_processes_that_are_reduced_have_the_moment_of_all_rows() -> None:
    rows = rows_of(0, 20, 3)
    one, other = moment_of(rows[:7]), moment_of(rows[7:])
    theirs = iter(other.state)
    whole = one.reduced(lambda part: part.add_(next(theirs)))  # as all-reduce: in place
    assert_same(whole, rows.numpy())
    assert_same(one, rows[:7].numpy())


def test_a_state_that_is_put_back_goes_on() -> None:
    rows = rows_of(0, 20, 3)
    first, second = moment_of(rows[:7]), Moment(3)
    second.restore(first.state)
    second.add(rows[7:])
    assert_same(second, rows.numpy())
    assert_same(first, rows[:7].numpy())


def test_a_state_is_all_float64() -> None:
    assert {part.dtype for part in moment_of(rows_of(0, 5, 3).float()).state} == {
        torch.float64
    }


def test_many_float32_rows_lose_no_digits() -> None:
    # a running float32 sum of 400,000 outer products is 3e-6 off
    rows = rows_of(0, 100, 3).float().repeat(4000, 1)
    exact = rows[:100].numpy().astype(np.float64)
    moment = moment_of(rows, chunk=64)
    second = exact.T @ exact / 100
    assert np.abs(moment.second.numpy() / second - 1).max() < 3e-7


def test_half_precision_rows_are_multiplied_in_float32() -> None:
    rows = rows_of(0, 64, 3).bfloat16()
    exact = rows.double().numpy()
    moment = moment_of(rows, chunk=64)
    np.testing.assert_allclose(moment.second, exact.T @ exact / 64, rtol=1e-5)


def test_no_rows_have_moments_of_zero() -> None:
    moment = moment_of(torch.zeros(0, 3))
    assert moment.count == 0
    assert not moment.mean.any() and not moment.second.any()


def test_second_moments_are_symmetric_to_the_bit() -> None:
    moment = moment_of(rows_of(0, 500, 30).float(), chunk=100)
    moment.state[2][0, 1] += 1e-9  # as some libraries multiply
    second = moment.second
    assert torch.equal(second, second.T)


@pytest.mark.parametrize(
    ("rows", "mask"),
    [
        (torch.zeros(2, 4), None),
        (torch.zeros(2, 5, 3), torch.ones(5, 2)),
        (torch.zeros(5, 3), torch.ones(5, 1)),
    ],
)
def test_rows_and_masks_of_other_sizes_are_refused(
    rows: Tensor, mask: Tensor | None
) -> None:
    with pytest.raises(ValueError, match="wide|weights"):
        Moment(3).add(rows, mask)


def test_sums_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        Moment(3).restore(Moment(4).state)
