"""The dims of an attention head, in the singular basis of what it computes.

Shapes: K channels read, W channels written, d dims of the head, r dims kept,
L = K + 1 (the channels read and a constant 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .principal import column_signs

SMALL = 1e-12  # a singular value below this share of its factors' sizes is rounding


@dataclass(frozen=True)
class Read:
    """What an attention layer reads: mean, and a root R of the covariance, RᵀR = C.

    One eigendecomposition a layer; any number of rows, fewer than channels too, for
    the root is never inverted.
    """

    mean_K: Tensor
    root_KK: Tensor

    @classmethod
    def of(cls, covariance_KK: Tensor, mean_K: Tensor) -> Read:
        """In float64, of what `Moment` found; eigenvalues that are rounding are 0."""
        values_K, vectors_KK = torch.linalg.eigh(covariance_KK.double())
        least = len(values_K) * torch.finfo(torch.float64).eps * values_K[-1:]
        values_K = torch.where(values_K > least, values_K, 0.0)
        root_KK = values_K.sqrt()[:, None] * vectors_KK.T
        return cls(mean_K.double(), root_KK)


@dataclass(frozen=True)
class Head:
    """One head's part of an attention layer; there is no key bias, for it is the same
    for all keys and softmax does not see it."""

    q_dK: Tensor
    q_bias_d: Tensor
    k_dK: Tensor
    v_dK: Tensor
    v_bias_d: Tensor
    out_Wd: Tensor


@dataclass(frozen=True)
class Factors:
    """A head in its singular basis.

    `constant_W` goes into the output's bias. `scores_d` and `values_d`, descending, are
    what the dims carry: the root mean square of a dim's part of a query's score of a
    key, or of the value written for a key, over what is read; of all dims, kept or not.
    """

    head: Head
    constant_W: Tensor
    scores_d: Tensor
    values_d: Tensor


def head_factors(head: Head, queries: Read, keys: Read, keep: int) -> Factors:
    """The head in the basis in which its first dims carry most, and `keep` of them.

    A query x scores a key y by x̃ᵀ W̃qᵀ Wk y, x̃ = [x; 1], W̃q = [Wq bq]. The key's mean
    adds the same to all scores of a query, which softmax does not see, so what counts
    is x̃ᵀ W̃qᵀ Wk (y − mean): its best approximation of rank r over independent x and y
    is that of R̃ W̃qᵀ Wk Rᵀ, R̃ᵀR̃ the second moment of x̃, RᵀR the covariance of y
    (Eckart and Young 1936; weighted as in SVD-LLM, Wang et al. 2025). Attention weights
    sum to one, so the values' biases and means are a constant of the output, and what
    counts of Wo Wv y is Wo Wv (y − mean), that is Wo Wv Rᵀ.

    Both are bases *inside* the head (`change_of_basis`): with all dims kept, the head
    computes what it did, on any input, however few rows the moments saw. Each value is
    centred by its bias: a dim that is dropped later takes no mean with it. Scores go on
    being divided by the root of the head's first width, however many dims are left.

    Args:
        head: any type; worked on in float64.
        queries: what queries are made of.
        keys: what keys and values are made of.
        keep: r, 0 to d.

    Returns:
        Of float64, its head r wide.

    Raises:
        ValueError: `keep` is not within 0 and d.
    """
    q_dK, q_bias_d, k_dK = (
        part.double() for part in (head.q_dK, head.q_bias_d, head.k_dK)
    )
    v_dK, v_bias_d, out_Wd = (
        part.double() for part in (head.v_dK, head.v_bias_d, head.out_Wd)
    )
    if not 0 <= keep <= len(q_dK):
        raise ValueError(f"{keep} dims of a head of {len(q_dK)}")
    mean_query_d = q_dK @ queries.mean_K + q_bias_d
    query_Ld = torch.cat([queries.root_KK @ q_dK.T, mean_query_d[None]])
    scoring = change_of_basis(query_Ld, keys.root_KK @ k_dK.T)
    writing = change_of_basis(out_Wd, keys.root_KK @ v_dK.T)
    into_scores_dr, into_values_rd = scoring.left[:, :keep], writing.right.T[:keep]
    mean_value_d = v_dK @ keys.mean_K
    kept = Head(
        q_dK=into_scores_dr.T @ q_dK,
        q_bias_d=into_scores_dr.T @ q_bias_d,
        k_dK=scoring.right.T[:keep] @ k_dK,
        v_dK=into_values_rd @ v_dK,
        v_bias_d=-into_values_rd @ mean_value_d,
        out_Wd=out_Wd @ writing.left[:, :keep],
    )
    constant_W = out_Wd @ (v_bias_d + mean_value_d)
    return Factors(kept, constant_W, scoring.singular_d, writing.singular_d)


@dataclass(frozen=True)
class Change:
    """Two bases of d dims, left rightᵀ = I, and the singular values along them."""

    left: Tensor
    right: Tensor
    singular_d: Tensor


def change_of_basis(left_nd: Tensor, right_md: Tensor) -> Change:
    """P and P⁻ᵀ such that the columns of LP and RP⁻ᵀ are the balanced singular factors
    of LRᵀ: columns at right angles, the i-th of both of length √σᵢ.

    QR of both, L = UT and R = VS, and the SVD of the core, TSᵀ = AΣBᵀ, d × d. Then
    P = SᵀBΣ^-½ and P⁻ᵀ = TᵀAΣ^-½, for PᵀP⁻ᵀ = Σ^-½BᵀSTᵀAΣ^-½ = I, and
    LP = UTSᵀBΣ^-½ = UAΣ^½, RP⁻ᵀ = VSTᵀAΣ^-½ = VBΣ^½. So the first r columns of LP times
    those of RP⁻ᵀ are the truncated SVD of LRᵀ, and neither L nor R, which hold the
    roots of moments, is inverted: for factors L = R̃X and R = RY, XP(YP⁻ᵀ)ᵀ = XYᵀ holds
    for all of X and Y, also where the roots are singular.

    Columns whose singular value is rounding are no function of the product. They are
    made a basis of what is at right angles to the rest of P⁻ᵀ, and P is inverted as a
    whole, so that P stays invertible whatever the factors, zero included.

    Args:
        left_nd: L, float64.
        right_md: R, float64.
    """
    d = left_nd.shape[1]
    tall_L, tall_R = (torch.linalg.qr(x, mode="r")[1] for x in (left_nd, right_md))
    a, singular, bt = torch.linalg.svd(tall_L @ tall_R.T, full_matrices=False)
    sizes = torch.linalg.matrix_norm(tall_L) * torch.linalg.matrix_norm(tall_R)
    rank = int((singular > SMALL * sizes).sum())
    first = tall_R.T @ bt[:rank].T  # the columns of P, but for their lengths
    dual = tall_L.T @ a[:, :rank]
    rest = torch.linalg.qr(dual / dual.norm(dim=0), mode="complete")[0][:, rank:]
    columns = torch.cat([first / first.norm(dim=0), rest], 1)
    columns = columns * column_signs(columns)
    inverse = torch.linalg.inv(columns).T  # of columns of length 1: as exact as can be
    lengths = inverse.norm(dim=0).sqrt()
    lengths[:rank] = first.norm(dim=0) / singular[:rank].sqrt()
    all_d = torch.cat([singular, singular.new_zeros(d - len(singular))])
    return Change(columns * lengths, inverse / lengths, all_d)
