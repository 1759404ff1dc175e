"""Heads in their singular basis, against NumPy's SVD of whole weighted products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinyclip.inherit.dims import Factors, Head, Read, change_of_basis, head_factors

WIDTH, OUT, DIMS = 10, 9, 4


def rows_of(seed: int, count: int = 60, width: int = WIDTH) -> np.ndarray:
    scale = np.geomspace(2, 0.1, width)
    return np.random.default_rng(seed).normal(0.7, 1, (count, width)) * scale


def read_of(rows: np.ndarray) -> Read:
    covariance = torch.from_numpy(np.cov(rows.T, bias=True).reshape(2 * rows.shape[1:]))
    return Read.of(covariance, torch.from_numpy(rows.mean(0)))


def head_of(seed: int, width: int = WIDTH, dims: int = DIMS) -> Head:
    draw = np.random.default_rng(seed).normal
    sizes = ((dims, width), (dims,), (dims, width), (dims, width), (dims,), (OUT, dims))
    return Head(*(torch.from_numpy(draw(size=size)) for size in sizes))


def attend(head: Head, x: np.ndarray, y: np.ndarray, constant: Tensor) -> np.ndarray:
    """Attention of one head as it is defined, in NumPy; scores over √DIMS always."""
    q, q_bias, k, v, v_bias, out = (part.numpy() for part in vars(head).values())
    scores = (x @ q.T + q_bias) @ (y @ k.T).T / np.sqrt(DIMS)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    return weights @ (y @ v.T + v_bias) @ out.T + constant.numpy()


def weighted(
    head: Head, queries: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Both products between symmetric roots, and the roots of queries and keys."""

    def root(moment: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(moment)
        return (vectors * np.sqrt(values.clip(0))) @ vectors.T

    with_one = np.concatenate([queries, np.ones((len(queries), 1))], 1)
    of_query = root(with_one.T @ with_one / len(with_one))
    of_key = root(np.cov(keys.T, bias=True))
    q = np.concatenate([head.q_dK.numpy(), head.q_bias_d.numpy()[:, None]], 1)
    scoring = of_query @ q.T @ head.k_dK.numpy() @ of_key
    writing = head.out_Wd.numpy() @ head.v_dK.numpy() @ of_key
    return scoring, writing, of_query, of_key


def truncated(matrix: np.ndarray, rank: int) -> np.ndarray:
    u, s, vt = np.linalg.svd(matrix)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


def finite(found: Factors) -> bool:
    tensors = [*vars(found.head).values(), found.constant_W]
    return all(bool(t.isfinite().all()) for t in tensors)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), keep=st.integers(0, DIMS), same=st.booleans())
def test_what_is_kept_is_the_truncated_svd_of_the_weighted_products(
    seed: int, keep: int, same: bool
) -> None:
    head, keys = head_of(seed), rows_of(seed + 1)
    queries = keys if same else rows_of(seed + 2)
    found = head_factors(head, read_of(queries), read_of(keys), keep)
    old = weighted(head, queries, keys)
    new = weighted(found.head, queries, keys)
    np.testing.assert_allclose(new[0], truncated(old[0], keep), atol=1e-10)
    np.testing.assert_allclose(new[1], truncated(old[1], keep), atol=1e-10)
    singular = np.linalg.svd(old[0], compute_uv=False)[:DIMS]
    np.testing.assert_allclose(found.scores_d, singular, atol=1e-11)
    singular = np.linalg.svd(old[1], compute_uv=False)[:DIMS]
    np.testing.assert_allclose(found.values_d, singular, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 30),
    decay=st.sampled_from([1.0, 1e-3, 1e-7, 1e-12]),
)
def test_with_all_dims_a_head_is_exact_on_rows_that_no_moment_saw(
    seed: int, count: int, decay: float
) -> None:
    # one row, or fewer than channels: the moment's root is singular or nearly so
    seen = rows_of(seed, count) * np.geomspace(1, decay, WIDTH)
    head, x, y = head_of(seed), rows_of(seed + 1), rows_of(seed + 2)
    found = head_factors(head, read_of(seen), read_of(seen), DIMS)
    before = attend(head, x, y, torch.zeros(OUT))
    after = attend(found.head, x, y, found.constant_W)
    np.testing.assert_allclose(after, before, atol=1e-11)


def test_with_enough_rows_all_dims_are_exact_to_rounding() -> None:
    head, x, y = head_of(0), rows_of(1), rows_of(2)
    found = head_factors(head, read_of(rows_of(3)), read_of(rows_of(3)), DIMS)
    before = attend(head, x, y, torch.zeros(OUT))
    after = attend(found.head, x, y, found.constant_W)
    np.testing.assert_allclose(after, before, atol=1e-13)


@pytest.mark.parametrize("part", ["q_dK", "k_dK", "v_dK", "out_Wd", "all"])
def test_a_head_with_weights_of_zero_stays_finite_and_exact(part: str) -> None:
    head, x, y = head_of(0), rows_of(1), rows_of(2)
    for name in vars(head) if part == "all" else (part, "q_bias_d"):
        vars(head)[name].zero_()
    found = head_factors(head, read_of(x), read_of(y), DIMS)
    assert finite(found)
    before = attend(head, x, y, torch.zeros(OUT))
    after = attend(found.head, x, y, found.constant_W)
    np.testing.assert_allclose(after, before, atol=1e-13)


@pytest.mark.parametrize("small", [1e-4, 1e-7, 1e-9, 1e-12, 1e-15])
def test_nearly_dependent_dims_stay_exact(small: float) -> None:
    head, x, y = head_of(0), rows_of(1), rows_of(2)
    for matrix in (head.q_dK, head.v_dK):
        matrix[1:] = matrix[:1] + small * matrix[1:]
    head.out_Wd[:, 2:] *= small
    found = head_factors(head, read_of(x), read_of(y), DIMS)
    assert finite(found)
    before = attend(head, x, y, torch.zeros(OUT))
    after = attend(found.head, x, y, found.constant_W)
    np.testing.assert_allclose(after, before, atol=1e-11)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_dims_that_were_never_read_have_weights_of_ordinary_size(count: int) -> None:
    # their singular values are rounding, and √σ divides
    for seed in range(20):
        read = read_of(rows_of(seed, count))
        found = head_factors(head_of(seed), read, read, DIMS).head
        assert max(part.abs().max() for part in vars(found).values()) < 200


def test_a_head_wider_than_what_it_reads_stays_exact() -> None:
    head, x, y = head_of(0, width=2), rows_of(1, width=2), rows_of(2, width=2)
    found = head_factors(head, read_of(x), read_of(y), DIMS)
    before = attend(head, x, y, torch.zeros(OUT))
    after = attend(found.head, x, y, found.constant_W)
    np.testing.assert_allclose(after, before, atol=1e-12)
    assert found.values_d[2:].tolist() == [0, 0]


def test_a_smaller_head_is_the_first_dims_of_the_whole() -> None:
    head, read = head_of(0), read_of(rows_of(1))
    whole = head_factors(head, read, read, DIMS).head
    few = head_factors(head, read, read, 2).head
    for name, part in vars(whole).items():
        first = part[:, :2] if name == "out_Wd" else part[:2]
        assert torch.equal(vars(few)[name], first)


def test_values_have_no_mean_so_that_a_dim_takes_none_with_it() -> None:
    keys = rows_of(1)
    found = head_factors(head_of(0), read_of(rows_of(2)), read_of(keys), DIMS)
    values = keys @ found.head.v_dK.numpy().T + found.head.v_bias_d.numpy()
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-13)


def test_no_dims_leave_the_mean_value() -> None:
    head, keys = head_of(0), rows_of(1)
    found = head_factors(head, read_of(keys), read_of(keys), 0)
    assert found.head.q_dK.shape == (0, WIDTH) and found.head.out_Wd.shape == (OUT, 0)
    value = keys.mean(0) @ head.v_dK.numpy().T + head.v_bias_d.numpy()
    np.testing.assert_allclose(found.constant_W, head.out_Wd.numpy() @ value)


def test_factors_are_balanced_and_at_right_angles() -> None:
    draw = np.random.default_rng(0).normal
    left, right = (
        torch.from_numpy(draw(size=(9, 4))),
        torch.from_numpy(draw(size=(7, 4))),
    )
    change = change_of_basis(left, right)
    for side in (left @ change.left, right @ change.right):
        np.testing.assert_allclose(side.T @ side, change.singular_d.diag(), atol=1e-12)


def test_signs_are_fixed_by_the_largest_entry_of_each_column() -> None:
    draw = np.random.default_rng(0).normal
    sides = (torch.from_numpy(draw(size=(n, 6))) for n in (9, 7))
    left = change_of_basis(*sides).left
    assert (left.max(0).values == left.abs().max(0).values).all()


def test_what_is_read_has_the_covariance_as_the_square_of_its_root() -> None:
    covariance = np.cov(rows_of(0, count=5).T, bias=True)  # singular
    root = Read.of(torch.from_numpy(covariance), torch.zeros(WIDTH)).root_KK
    np.testing.assert_allclose(root.T @ root, covariance, atol=1e-13)


@pytest.mark.parametrize("keep", [-1, DIMS + 1])
def test_more_dims_than_there_are_are_refused(keep: int) -> None:
    read = read_of(rows_of(0))
    with pytest.raises(ValueError, match="dims of a head of 4"):
        head_factors(head_of(0), read, read, keep)
