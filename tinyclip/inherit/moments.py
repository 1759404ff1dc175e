"""How many rows there are, their sum, and the sum of their outer products.

Shapes: R rows, D channels, E = D + 1 (the channels and a constant 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CHUNK = 4096  # rows multiplied at a time
TILE = 512  # columns of a product; of two that mirror each other one is made


class Moment:
    """Sums over rows that are seen once and not kept.

    Products are made in the rows' own type, at least float32, a chunk of rows at a
    time; the chunks are summed in float64, so that the number of rows costs no digits.
    Memory: a chunk of rows and D² numbers, whatever the number of rows.

    Args:
        width: D.
        chunk: rows multiplied at a time.
        device: where the sums are kept.

    Raises:
        ValueError: `chunk` is not positive.
    """

    def __init__(
        self, width: int, chunk: int = CHUNK, device: torch.device | str = "cpu"
    ) -> None:
        if chunk < 1:
            raise ValueError(f"a chunk has at least one row, not {chunk}")
        self.width, self.chunk = width, chunk

        def zeros(*size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.float64, device=device)

        self.state = [zeros(1), zeros(width), zeros(width, width)]

    @torch.no_grad()
    def add(self, rows: Tensor, weights: Tensor | None = None) -> None:
        """Count these rows in.

        Args:
            rows: (..., D).
            weights: (...), how much a row counts, from 0; a mask is 1 where a row does.
                All count 1 without it.

        Raises:
            ValueError: the rows are not D wide, or the weights are not theirs.
        """
        if rows.shape[-1] != self.width:
            raise ValueError(f"rows are {rows.shape[-1]} wide, not {self.width}")
        if weights is not None and weights.shape != rows.shape[:-1]:
            raise ValueError(f"weights {[*weights.shape]} for rows {[*rows.shape]}")
        if weights is None:  # no copy of what may be large
            self._add(rows.reshape(-1, self.width), None)
        else:
            self._add(rows[weights > 0], weights[weights > 0])

    def _add(self, rows_RD: Tensor, weights_R: Tensor | None) -> None:
        count, total_D, products_DD = self.state
        for start in range(0, len(rows_RD), self.chunk):
            part_RD = rows_RD[start : start + self.chunk]
            if part_RD.dtype not in (torch.float32, torch.float64):
                part_RD = part_RD.float()
            weighted_RD, number = part_RD, float(len(part_RD))
            if weights_R is not None:
                weight_R = weights_R[start : start + self.chunk].to(part_RD)
                weighted_RD = part_RD * weight_R[:, None]
                number = float(weight_R.sum(dtype=torch.float64))
            count += number
            total_D += weighted_RD.sum(0, dtype=torch.float64).to(total_D)
            self._multiply(weighted_RD, part_RD, products_DD)

    def _multiply(self, left_RD: Tensor, right_RD: Tensor, into_DD: Tensor) -> None:
        """Add the products of a chunk, whose halves mirror each other."""
        for top in range(0, self.width, TILE):
            rows = slice(top, top + TILE)
            found = (left_RD[:, rows].T @ right_RD[:, top:]).to(into_DD)
            into_DD[rows, top:] += found
            into_DD[top + TILE :, rows] += found[:, TILE:].T

    def restore(self, state: Sequence[Tensor]) -> None:
        """Put sums back that were taken from `state`, or sums of several of them.

        Raises:
            ValueError: they are not of the same sizes.
        """
        if [old.shape for old in self.state] != [new.shape for new in state]:
            raise ValueError("these sums are not those of a moment of the same width")
        self.state = [
            new.to(old, copy=True) for old, new in zip(self.state, state, strict=True)
        ]

    def reduced(self, reduce: Callable[[Tensor], Tensor]) -> Moment:
        """The moment of the rows of all processes.

        Args:
            reduce: the sum over processes of a float64 tensor; it may work in place.
        """
        whole = Moment(self.width, self.chunk, self.state[0].device)
        whole.restore([reduce(part.clone()) for part in self.state])
        return whole

    @property
    def count(self) -> float:
        """The rows seen, by their weights."""
        return float(self.state[0])

    @property
    def _divisor(self) -> Tensor:
        count = self.state[0]
        return torch.where(count > 0, count, 1.0)

    @property
    def mean(self) -> Tensor:
        """(D,); 0 where no row was seen."""
        return self.state[1] / self._divisor

    @property
    def second(self) -> Tensor:
        """(D, D): the mean of xxᵀ, about 0, exactly symmetric."""
        mean_DD = self.state[2] / self._divisor
        return (mean_DD + mean_DD.T) / 2

    @property
    def covariance(self) -> Tensor:
        """(D, D): the mean of (x − mean)(x − mean)ᵀ."""
        return self.second - torch.outer(self.mean, self.mean)

    @property
    def augmented(self) -> Tensor:
        """(E, E): the second moment of [x; 1]."""
        one = self.mean.new_ones(1)
        top_DE = torch.cat([self.second, self.mean[:, None]], 1)
        return torch.cat([top_DE, torch.cat([self.mean, one])[None]])
