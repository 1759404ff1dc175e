"""The principal basis, against NumPy's eigenvectors of the whole centred matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.inherit.principal import principal_basis


def second_of(seed: int, width: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(3, 1, (count, width))
    rows *= np.geomspace(1, 0.05, width)
    return rows.T @ rows / count


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 30),
    count=st.integers(1, 40),
    centred=st.booleans(),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_columns_are_orthonormal_and_sum_to_zero_however_singular_the_moment(
    width: int, count: int, centred: bool, scale: float
) -> None:
    second = torch.from_numpy(second_of(width, width, count)) * scale
    basis, values = principal_basis(second, centred)
    kept = width - centred
    assert basis.shape == (width, kept) and values.shape == (kept,)
    np.testing.assert_allclose(basis.T @ basis, np.eye(kept), atol=1e-13)
    if centred and kept:
        assert basis.sum(0).abs().max() < 2e-15 * np.sqrt(width)
    assert (values >= 0).all() and (values.diff() <= 0).all()


def test_columns_of_a_wide_stream_sum_to_zero_as_well() -> None:
    basis, _ = principal_basis(torch.from_numpy(second_of(0, 400, 500)), centred=True)
    assert basis.sum(0).abs().max() < 4e-15


def test_of_a_centred_stream_it_is_the_eigenvectors_but_for_the_ones() -> None:
    second = second_of(0, 12, 50)
    centre = np.eye(12) - 1 / 12
    values, vectors = np.linalg.eigh(centre @ second @ centre)
    basis, found = principal_basis(torch.from_numpy(second), centred=True)
    np.testing.assert_allclose(found, values[:0:-1], rtol=1e-10)
    alike = np.abs((basis.numpy() * vectors[:, :0:-1]).sum(0))
    np.testing.assert_allclose(alike, 1, atol=1e-12)


def test_of_an_rms_stream_it_is_the_eigenvectors_of_the_moment() -> None:
    second = second_of(0, 12, 50)
    values, vectors = np.linalg.eigh(second)
    basis, found = principal_basis(torch.from_numpy(second), centred=False)
    np.testing.assert_allclose(found, values[::-1], rtol=1e-10)
    alike = np.abs((basis.numpy() * vectors[:, ::-1]).sum(0))
    np.testing.assert_allclose(alike, 1, atol=1e-12)


def test_a_strong_mean_of_the_channels_is_not_a_direction() -> None:
    # ones hold nearly all of this stream, and no reader sees them
    second = second_of(0, 8, 50) + 1e8
    basis, values = principal_basis(torch.from_numpy(second), centred=True)
    assert basis.sum(0).abs().max() < 1e-14
    assert values[0] < 100


def test_the_largest_entry_of_every_direction_is_positive() -> None:
    for centred in (True, False):
        basis, _ = principal_basis(torch.from_numpy(second_of(3, 20, 50)), centred)
        assert (basis.max(0).values == basis.abs().max(0).values).all()


def test_a_float32_moment_is_worked_on_in_float64() -> None:
    basis, values = principal_basis(torch.eye(5), centred=True)
    assert basis.dtype == values.dtype == torch.float64


@pytest.mark.parametrize(
    "second", [torch.ones(3), torch.ones(3, 4), torch.full((3, 3), torch.nan)]
)
def test_what_is_no_second_moment_is_refused(second: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="second moment"):
        principal_basis(second, centred=True)
