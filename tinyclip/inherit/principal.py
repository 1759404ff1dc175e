"""The basis of a residual stream in which its last directions matter least.

Shapes: D channels, K directions: D - 1 where the stream is centred, else D.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROUNDING = 1e-12  # of what a direction holds on average: nothing


def principal_basis(
    second_DD: Tensor,
    centred: bool,
    felt_DD: Tensor | None = None,
    variance: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Orthonormal directions of a stream, those that matter most first.

    Under LayerNorm, whose centring C = I − 11ᵀ/D takes the stream's mean away, they
    lie in the subspace of vectors that sum to zero (SliceGPT, Ashkboos et al. 2024,
    §3.2 and §3.3): the direction of ones, which nobody reads, is left out exactly, even
    where M is singular.

    By variance alone they are eigenvectors of CMC, under RMS norm of M. Otherwise they
    are those whose first k tell best what the features feel, for every k at once. Of k
    directions U a reader that is solved anew (`readers`) reads the best linear guess of
    the stream; what is lost is tr(G Cov(x | Uᵀx)), G what features feel. That is
    reduced-rank regression (Izenman 1975): it is least, the sum of the last eigenvalues
    of M^½GM^½ = VΛVᵀ, where U spans M^-½ times the first k columns of V, which is
    GM^½V but for lengths. Their QR, column after column, is an orthonormal basis of all
    these spans. With G = I it is the eigenvectors of M again.

    Args:
        second_DD: M, the stream's second moment.
        centred: whether LayerNorm reads the stream.
        felt_DD: what features feel of each direction (`sensitivity`), positive
            semi-definite.
        variance: the share of G, its trace 1, that feels all directions alike; 1 leaves
            `felt_DD` out.

    Returns:
        basis_DK: a direction a column, with its largest entry positive; columns sum to
            zero if centred.
        held_K: the second moment along each, none below 0, descending where variance
            alone tells; float64 both.

    Raises:
        ValueError: M or G is not a square matrix of finite numbers.
    """
    _check(second_DD)
    second_DD = second_DD.double()
    inside_DK = torch.eye(len(second_DD)).to(second_DD)
    if centred:
        inside_DK = _zero_mean_basis(inside_DK)
    inner_KK = inside_DK.T @ second_DD @ inside_DK
    held_K, vectors_KK = _descending(inner_KK)
    if felt_DD is not None and variance < 1:
        _check(felt_DD)
        felt_KK = _mixed(inside_DK.T @ felt_DD.to(second_DD) @ inside_DK, variance)
        root_KK = vectors_KK * held_K.sqrt() @ vectors_KK.T
        told_KK = felt_KK @ root_KK @ _descending(root_KK @ felt_KK @ root_KK)[1]
        # in order and of length 1, the small ones as exact as the large
        lengths_K = told_KK.norm(dim=0).clamp(min=torch.finfo(torch.float64).tiny)
        vectors_KK = torch.linalg.qr(told_KK / lengths_K)[0]
        held_K = (vectors_KK * (inner_KK @ vectors_KK)).sum(0).clamp(min=0)
    basis_DK = inside_DK @ vectors_KK
    if centred:  # the last digits of the product
        basis_DK = basis_DK - basis_DK.mean(0)
    return basis_DK * column_signs(basis_DK), held_K


def told_apart(second_KK: Tensor) -> Tensor:
    """What each direction holds that those before it do not tell, (K,): the squared
    diagonal of the moment's Cholesky factor. It is made as the triangle of a root of
    the moment, for a moment of few rows is singular, and by rounding a little below."""
    held_K, vectors_KK = _descending(second_KK.double())
    root_KK = held_K.sqrt()[:, None] * vectors_KK.T
    left_K = torch.linalg.qr(root_KK, mode="r")[1].diagonal().square()
    return torch.where(left_K > ROUNDING * held_K.mean(), left_K, 0.0)


def _check(matrix: Tensor) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a second moment is square, not {[*matrix.shape]}")
    if not matrix.isfinite().all():
        raise ValueError("a second moment holds numbers that are not finite")


def _descending(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, none below 0, and vectors, the largest first."""
    values, vectors = torch.linalg.eigh((symmetric + symmetric.T) / 2)
    return values.flip(0).clamp(min=0), vectors.flip(1)


def _mixed(felt_KK: Tensor, variance: float) -> Tensor:
    """G with its trace made 1, and so much of it the same for all directions; nothing
    that is felt at all leaves variance alone."""
    alike_KK = torch.eye(len(felt_KK)).to(felt_KK) / max(1, len(felt_KK))
    whole = felt_KK.diagonal().sum()
    if not bool(whole > 0):
        return alike_KK
    return (1 - variance) * felt_KK / whole + variance * alike_KK


def column_signs(matrix: Tensor) -> Tensor:
    """±1 a column, so that its entry of largest size becomes positive."""
    if not len(matrix):
        return matrix.new_ones(matrix.shape[1])
    largest = matrix.abs().argmax(0, keepdim=True)
    return torch.where(matrix.gather(0, largest)[0] < 0, -1.0, 1.0).to(matrix)


def _zero_mean_basis(identity_DD: Tensor) -> Tensor:
    """The last D − 1 columns of the Householder reflection that takes the direction of
    ones to the first axis: orthonormal, and every one of them sums to zero."""
    mirror_D = torch.full_like(identity_DD[0], 1 / math.sqrt(len(identity_DD)))
    mirror_D[0] += 1
    reflection_DD = identity_DD - torch.outer(mirror_D, mirror_D) * (
        2 / mirror_D.square().sum()
    )
    return reflection_DD[:, 1:]
