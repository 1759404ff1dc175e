"""The basis of a stream, against NumPy's eigenvectors and least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.inherit.principal import principal_basis, told_apart


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


def drawn(width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A moment, and what is felt, which is another one."""
    felt = second_of(seed + 1, width, 2 * width)
    order = np.random.default_rng(seed).permutation(width)
    return second_of(seed, width, 3 * width), felt[order][:, order]


def lost(second: np.ndarray, felt: np.ndarray, kept: np.ndarray) -> float:
    """tr(G Cov(x | Uᵀx)), by the normal equations."""
    cross = second @ kept
    told = cross @ np.linalg.solve(kept.T @ cross, cross.T)
    return float(np.trace(felt @ (second - told)))


@settings(max_examples=20, deadline=None)
@given(width=st.integers(2, 12), seed=st.integers(0, 99))
def test_for_every_number_of_directions_none_tell_more_of_what_is_felt(
    width: int, seed: int
) -> None:
    """What is lost is the sum of the last eigenvalues of GM, and no less can be."""
    second, felt = drawn(width, seed)
    basis, _ = principal_basis(
        torch.from_numpy(second), False, torch.from_numpy(felt), variance=0
    )
    least = np.sort(np.linalg.eigvals(felt @ second).real)[::-1]
    for kept in range(1, width):
        left = lost(second, felt, basis.numpy()[:, :kept])
        assert left == pytest.approx(least[kept:].sum(), rel=1e-6, abs=1e-9 * least[0])


@pytest.mark.parametrize("centred", [True, False])
def test_a_share_of_variance_is_a_share_of_all_directions_alike(centred: bool) -> None:
    second, felt = (torch.from_numpy(x) for x in drawn(9, 3))
    inside = torch.eye(9, dtype=torch.float64) - centred / 9
    felt = inside @ felt @ inside
    mixed = 0.7 * felt / felt.trace() + 0.3 * inside / inside.trace()
    asked = principal_basis(second, centred, felt, variance=0.3)[0]
    by_hand = principal_basis(second, centred, mixed, variance=0)[0]
    torch.testing.assert_close(asked, by_hand, rtol=0, atol=1e-8)


@pytest.mark.parametrize("variance", [0.0, 0.05])
def test_columns_are_orthonormal_where_little_is_seen_and_felt(variance: float) -> None:
    second, felt = (torch.from_numpy(second_of(n, 12, 3)) for n in (0, 1))
    basis, held = principal_basis(second, True, felt, variance)
    np.testing.assert_allclose(basis.T @ basis, np.eye(11), atol=1e-12)
    assert basis.sum(0).abs().max() < 1e-14
    along = np.einsum("dk,de,ek->k", basis, second, basis)
    np.testing.assert_allclose(held, along, atol=1e-12)


def test_what_is_felt_alike_or_not_at_all_leaves_the_principal_directions() -> None:
    second = torch.from_numpy(second_of(0, 9, 40))
    plain = principal_basis(second, True)[0]
    for felt in (torch.eye(9), torch.zeros(9, 9)):
        basis = principal_basis(second, True, felt, variance=0.1)[0]
        torch.testing.assert_close(basis, plain, rtol=0, atol=1e-7)


@pytest.mark.parametrize("rows", [40, 3])
def test_what_is_told_apart_is_left_of_each_by_least_squares(rows: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 7))
    second = values.T @ values / rows
    expected = [np.mean(values[:, 0] ** 2)]
    for place in range(1, 7):
        before = values[:, :place]
        told = before @ np.linalg.lstsq(before, values[:, place], rcond=None)[0]
        expected.append(np.mean((values[:, place] - told) ** 2))
    found = told_apart(torch.from_numpy(second))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found[rows:] == 0).all()
