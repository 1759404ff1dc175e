"""Scaled products of a batch with itself, and means over their rows, in blocks.

A row needs all of its columns and none of the other rows. So of a large batch some rows
are made at a time, and made again for their gradient (Chen et al. 2016, "Training Deep
Nets with Sublinear Memory Cost"): memory grows with the batch times a block, not with
its square.

Legend: B batch, C columns, b rows of a block, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..model.clip import Features

NUMBERS = 2**24  # of a block: 64 MB, and some of them are held at once
OfRows = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class Products:
    """scale · rows columnsᵀ + bias, (B, C), of which blocks of rows can be had.

    Args:
        rows_BE, columns_CE: features.
        whole_BC: all of them, where they are few: made once for both directions.
        weight_B: of the rows, in a mean over them; None for 1 each.
    """

    rows_BE: Tensor
    columns_CE: Tensor
    scale: Tensor
    bias: Tensor | None = None
    whole_BC: Tensor | None = None
    weight_B: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows_BE)

    def block(self, part: slice) -> Tensor:
        """The products of some rows, (b, C)."""
        if self.whole_BC is not None:
            return self.whole_BC[part]
        products_bC = self.scale * self.rows_BE[part] @ self.columns_CE.T
        return products_bC if self.bias is None else products_bC + self.bias


def both_ways(features: Features, biased: bool = False) -> tuple[Products, Products]:
    """Pictures over captions, and captions over pictures.

    Args:
        biased: with the logit bias, where there is one.
    """
    bias = features.bias if biased else None
    sides = features.image_BE, features.text_BE
    image = Products(*sides, features.scale, bias)
    text = Products(*sides[::-1], features.scale, bias)
    if len(parts_of(image)) > 1:
        return image, text
    whole_BB = image.block(slice(None))
    return (
        Products(*sides, features.scale, bias, whole_BB),
        Products(*sides[::-1], features.scale, bias, whole_BB.T),
    )


def softened(features: Features) -> Features:
    """With logits divided by the temperature, where a strategy has one."""
    temperature, bias = features.temperature, features.bias
    if temperature is None:
        return features
    bias = None if bias is None else bias / temperature
    return replace(features, scale=features.scale / temperature, bias=bias)


def compared(features: Features, biased: bool = False) -> tuple[Products, Products]:
    """As `both_ways`, of distributions that are compared with another model's: softened
    and weighted as strategies say."""
    image, text = both_ways(softened(features), biased)
    weight_B = features.weight_B
    return replace(image, weight_B=weight_B), replace(text, weight_B=weight_B)


def regained(student: Features, divergence: Tensor) -> Tensor:
    """A divergence times the square of the temperature: the gradient of one is smaller
    by as much (Hinton et al. 2015, §2)."""
    temperature = student.temperature
    return divergence if temperature is None else temperature.square() * divergence


def regained_cross(student: Features, cross: Tensor, entropy: Tensor) -> Tensor:
    """A cross-entropy, of which a temperature sees the divergence alone: the teacher's
    entropy grows with it, whatever the student says."""
    if student.temperature is None:
        return cross
    return regained(student, cross - entropy) + entropy.detach()


def parts_of(products: Products) -> list[slice]:
    """Blocks of rows of at most `NUMBERS` products each."""
    size, columns = len(products), len(products.columns_CE)
    step = max(1, NUMBERS // max(1, columns))
    return [slice(start, start + step) for start in range(0, size, step)]


def own_columns(part: slice, products_bC: Tensor) -> Tensor:
    """The column of each row of a block that stands for the same pair, (b,)."""
    first = part.start or 0
    return torch.arange(first, first + len(products_bC), device=products_bC.device)


def over_rows(of: OfRows, *products: Products) -> tuple[Tensor, ...]:
    """What a function makes of each row, (B,) each.

    Args:
        of: called with a block's place and the products of its rows, (b, C) each;
            gives values of each row, (b,) each. It may not depend on chance.
        products: of as many rows and columns each.
    """
    parts = parts_of(products[0])
    if len(parts) <= 1:
        return of(slice(0, len(products[0])), *(p.block(slice(None)) for p in products))

    def of_block(part: slice) -> tuple[Tensor, ...]:
        return of(part, *(p.block(part) for p in products))

    found = [checkpoint(of_block, part, use_reentrant=False) for part in parts]
    return tuple(torch.cat(values) for values in zip(*found, strict=True))


def mean_over_rows(of: OfRows, *products: Products) -> tuple[Tensor, ...]:
    """The means of what a function makes of each row, as `over_rows`; of rows that have
    weights, times those."""
    weights = [p.weight_B for p in products if p.weight_B is not None]
    values = over_rows(of, *products)
    if weights:
        return tuple((weights[0] * value_B).mean() for value_B in values)
    return tuple(value_B.mean() for value_B in values)
