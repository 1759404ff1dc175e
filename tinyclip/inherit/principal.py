"""The principal basis of a residual stream.

Shapes: D channels, K directions: D - 1 where the stream is centred, else D.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def principal_basis(second_DD: Tensor, centred: bool) -> tuple[Tensor, Tensor]:
    """Orthonormal directions of a stream, those that hold most of it first.

    Under LayerNorm, whose centring C = I − 11ᵀ/D takes the stream's mean away, they
    are eigenvectors of CMC within the subspace of vectors that sum to zero (SliceGPT,
    Ashkboos et al. 2024, §3.2 and §3.3): the direction of ones, which nobody reads, is
    left out exactly, even where M is singular. Under RMS norm they are those of M.

    Args:
        second_DD: M, the stream's second moment.
        centred: whether LayerNorm reads the stream.

    Returns:
        basis_DK: a direction a column, with its largest entry positive; columns sum to
            zero if centred.
        eigenvalues_K: what each holds, descending, none below 0; float64 both.

    Raises:
        ValueError: M is not a square matrix of finite numbers.
    """
    if second_DD.ndim != 2 or second_DD.shape[0] != second_DD.shape[1]:
        raise ValueError(f"a second moment is square, not {[*second_DD.shape]}")
    if not second_DD.isfinite().all():
        raise ValueError("a second moment holds numbers that are not finite")
    second_DD = second_DD.double()
    inside_DK = torch.eye(len(second_DD)).to(second_DD)
    if centred:
        inside_DK = _zero_mean_basis(inside_DK)
    inner_KK = inside_DK.T @ second_DD @ inside_DK
    eigenvalues_K, vectors_KK = torch.linalg.eigh((inner_KK + inner_KK.T) / 2)
    basis_DK = inside_DK @ vectors_KK.flip(1)
    if centred:  # the last digits of the product
        basis_DK = basis_DK - basis_DK.mean(0)
    return basis_DK * column_signs(basis_DK), eigenvalues_K.flip(0).clamp(min=0)


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
