"""Readers of a cut stream, against least squares on the rows in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tinyclip.inherit.moments import Moment
from tinyclip.inherit.readers import solved_reader

draw = np.random.default_rng(0).normal
WEIGHT, BIAS = draw(size=(5, 8)), draw(size=5)
PLAIN = WEIGHT[:, :3]


def streams(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """What was read and what is read now, 8 and 3 wide, correlated."""
    x = draw(1, 1, size=(count, 8)) @ draw(size=(8, 8))
    return x, x[:, :3] + 0.1 * draw(size=(count, 3)) - 0.5


def solved(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[Tensor, Tensor]:
    moment = Moment(11)
    moment.add(torch.from_numpy(np.concatenate([x, y], 1)))
    given = map(torch.from_numpy, (WEIGHT, BIAS, PLAIN))
    return solved_reader(moment.second, moment.mean, *given, ridge)


@pytest.mark.parametrize("ridge", [1e-9, 1e-2, 10.0])
def test_it_is_ridge_regression_on_the_rows_shrunk_to_the_plain_cut(
    ridge: float,
) -> None:
    x, y = streams()
    weight, bias = solved(x, y, ridge)
    aim = x @ WEIGHT.T + BIAS
    inner, outer = y - y.mean(0), aim - aim.mean(0)
    lift = np.sqrt(ridge * np.square(inner).sum(0).mean())
    rows = np.concatenate([inner, lift * np.eye(3)])
    aims = np.concatenate([outer, lift * PLAIN.T])
    expected = np.linalg.lstsq(rows, aims)[0].T
    np.testing.assert_allclose(weight, expected, rtol=1e-7)
    left = aim - y @ expected.T - bias.numpy()
    np.testing.assert_allclose(left.mean(0), 0, atol=1e-8)


def test_a_stream_that_lost_nothing_is_read_as_before() -> None:
    x, _ = streams()
    x[:, 3:] = 0
    weight, bias = solved(x, x[:, :3], 1e-3)
    np.testing.assert_allclose(weight, PLAIN, atol=1e-10)
    np.testing.assert_allclose(bias, BIAS, atol=1e-10)


def test_fewer_rows_than_directions_stay_near_the_plain_cut() -> None:
    x, y = streams(count=2)
    weight, _ = solved(x, y, 1e-2)
    assert weight.isfinite().all()
    along = (y[1] - y[0]) / np.linalg.norm(y[1] - y[0])
    aside = np.eye(3) - np.outer(along, along)
    np.testing.assert_allclose(weight.numpy() @ aside, PLAIN @ aside, atol=1e-10)


def test_a_stream_that_does_not_vary_keeps_the_plain_cut_and_gets_the_mean() -> None:
    x, y = np.ones((4, 8)), np.ones((4, 3))
    weight, bias = solved(x, y, 1e-2)
    np.testing.assert_array_equal(weight, PLAIN)
    np.testing.assert_allclose(weight.sum(1) + bias, WEIGHT.sum(1) + BIAS)


def test_no_directions_leave_the_mean_of_what_was_read() -> None:
    x, _ = streams()
    second, mean = torch.from_numpy(x.T @ x / 300), torch.from_numpy(x.mean(0))
    given = map(torch.from_numpy, (WEIGHT, BIAS, WEIGHT[:, :0]))
    weight, bias = solved_reader(second, mean, *given, 1e-2)
    assert weight.shape == (5, 0)
    np.testing.assert_allclose(bias, (x @ WEIGHT.T + BIAS).mean(0))


@pytest.mark.parametrize(("size", "ridge"), [(10, 1e-2), (11, 0.0), (11, -1.0)])
def test_moments_of_other_sizes_and_no_ridge_are_refused(
    size: int, ridge: float
) -> None:
    given = map(torch.from_numpy, (WEIGHT, BIAS, PLAIN))
    with pytest.raises(ValueError, match="moment of 10|ridge"):
        solved_reader(torch.eye(size), torch.zeros(size), *given, ridge)
