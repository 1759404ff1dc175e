"""A CLIP in the principal basis of its residual streams and of its heads, exactly.

LayerNorm takes the stream's mean away and divides by its length, so every reader sees
γ∘Cx/σ + β, C the centring. With P an orthonormal basis of the vectors that sum to zero,
z = Pᵀx has the same length as Cx: the norm becomes RMS, γ and β go into what reads, Pᵀ
into what writes (Ashkboos et al. 2024, "SliceGPT", §3). P's first directions tell most
of what features feel (`principal_basis`, `sensitivity`). One P a tower, so that no
matrix enters the residual path. Each head turns into the singular basis of what it
computes (`dims.head_factors`).

CLIP's image tower has a norm whose output *is* the stream; its weight does not commute
with P. It stays as it was, and so does all before it; a matrix, the stem, leads into
the basis. An attention pool reads the basis and writes where it always did.

Legend: D channels, K directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..model.block import Block
from ..model.clip import Clip
from ..shapes import TowerShape
from .dims import Read
from .principal import principal_basis
from .sensitivity import sensitivity
from .stream import Pairs, Stream
from .turn import Tower, Turned, last_norm, turned_clip

Reduce = Callable[[Tensor], Tensor]  # the sum of a tensor over processes
VARIANCE = 0.05


def alone(summed: Tensor) -> Tensor:
    """The sum over the only process."""
    return summed


@dataclass(frozen=True)
class Rotated:
    """A rotated model and what its directions hold.

    Args:
        spectra: by tower, the share of what is read that each direction holds, (K,),
            descending where variance alone ordered them.
    """

    model: Clip
    spectra: Mapping[str, Tensor]


@torch.no_grad()
def rotate(
    model: Clip,
    batches: Iterable[Pairs],
    reduce: Reduce = alone,
    variance: float = VARIANCE,
) -> Rotated:
    """The same function with its streams and heads in their principal bases.

    Args:
        model: left as it is. One that is rotated already turns on.
        batches: real pairs, of this process; a few hundred tell the directions.
        reduce: the sum of a tensor over all processes.
        variance: the share of what tells the directions that is the stream's variance
            alone, the rest is what features feel of it (`principal_basis`).

    Raises:
        ValueError: there are no pairs.
    """
    pairs = list(batches)
    spectra: dict[str, Tensor] = {}
    named: dict[str, Tensor] = {}
    for name, shape in model.shape.towers().items():
        tower: Any = getattr(model, name)
        look = _look(tower, shape, Stream(tower, pairs), reduce)
        felt_DD = None
        if variance < 1:
            felt_DD = sensitivity(model, name, pairs, reduce)
        directions_DK, held_K = principal_basis(
            look.second_DD, not shape.rotated, felt_DD, variance
        )
        turned = Turned(tower, directions_DK, look.reads).named()
        named |= {f"{name}.{inner}": value for inner, value in turned.items()}
        spectra[name] = held_K / held_K.sum()
    rotated = Clip(turned_clip(model.shape)).to(model.logit_scale)
    scalars = {n: v for n, v in model.state_dict().items() if "." not in n}
    rotated.load_state_dict(named | scalars)
    return Rotated(rotated.train(model.training), spectra)


@dataclass(frozen=True)
class _Look:
    """The mean moment of all that a tower's norms read, and what the attention of each
    block reads."""

    second_DD: Tensor
    reads: tuple[Read | None, ...]


def _look(tower: Tower, shape: TowerShape, stream: Stream, reduce: Reduce) -> _Look:
    """One pass over the blocks."""
    total_DD = stream.parts[0].new_zeros(shape.width, shape.width, dtype=torch.float64)
    reads: list[Read | None] = []
    for block in tower.blocks:
        assert isinstance(block, Block)
        reads.append(None)
        if block.norm_1 is not None:
            moment = stream.look(block.norm_1).reduced(reduce)
            total_DD += moment.second
            reads[-1] = Read.of(moment.covariance, moment.mean)
            stream.attend(block)
        if block.norm_2 is not None:
            total_DD += stream.look(block.norm_2).reduced(reduce).second
            stream.feed(block)
    total_DD += stream.look(last_norm(tower), last=True).reduced(reduce).second
    return _Look(total_DD, tuple(reads))
