"""Tokens of layers: what objectives that compare them are given, and which ones.

Legend: B batch, N tokens, D embed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..model.clip import Features
from ..shapes import TOWERS, TowerShape
from .objectives import Parts

Towers = Literal["both", "image", "text"]
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Tokens:
    """The tokens of some layers of one tower.

    Args:
        layers_BND: the stream after each block that was asked for, by its number, each
            token as the blocks' norms leave it before their weights (`norm.evened`).
        counts_BN: which tokens count, of captions that are shorter than others; None
            for all.
    """

    layers_BND: Mapping[int, Tensor]
    counts_BN: Tensor | None = None


class OfTokens(nn.Module, ABC):
    """An objective of each pair's tokens: a distance of each, and its mean.

    Tokens are looked at where they are made, in the towers' own forward pass; what goes
    on to the loss is a number a pair and tower, so that no token is gathered and pieces
    of a batch are the batch.

    Args:
        name: of the objective.
        layers: of each tower that is looked at, blocks of the student and of the
            teacher that belong together.

    Raises:
        UserError: a tower has no block.
    """

    def __init__(self, name: str, layers: Mapping[str, Pairs]) -> None:
        super().__init__()
        self.name, self.layers = name, dict(layers)
        for tower, pairs in layers.items():
            if not pairs:
                raise UserError(
                    f"losses.{name}",
                    f"no block is left in the {tower} tower, so no tokens of one",
                    f"Take {name} out, or name the other tower (towers)",
                )

    @abstractmethod
    def distance(self, tower: str, mine: Tokens, theirs: Tokens) -> Tensor:
        """How far the tokens of a tower are from the teacher's, (B,)."""

    def forward(self, student: Features, _teacher: Features) -> tuple[Tensor, Parts]:
        """The means over pairs, summed over towers."""
        parts = {
            tower: student.more[f"{self.name}.{tower}"].mean() for tower in self.layers
        }
        loss = torch.stack(list(parts.values())).sum()
        return loss, {tower: part.detach() for tower, part in parts.items()}


def towers_of(towers: Towers) -> tuple[str, ...]:
    """The names behind an option."""
    return TOWERS if towers == "both" else (towers,)


def existing(tower: TowerShape) -> list[int]:
    """The numbers of the blocks that add anything to the stream."""
    return [
        number
        for number, block in enumerate(tower.blocks)
        if block.attention_layers or block.ffn_layers
    ]


def matched(student: TowerShape, teacher: TowerShape) -> Pairs:
    """Every existing block of a student with the nearest existing one of its teacher.

    Nearest in relative depth: of n blocks the k-th, from 1, goes to the teacher's
    k·N/n-th of N, rounded. So they are in order, and the last goes to the last.
    """
    mine, theirs = existing(student), existing(teacher)
    if not theirs:
        return ()
    places = evenly(len(theirs), len(mine))
    return tuple((mine[k], theirs[place]) for k, place in enumerate(places))


def evenly(of: int, count: int) -> list[int]:
    """So many places among others, evenly and in order, the last one the last."""
    return [
        max(1, (2 * k * of + count) // (2 * count)) - 1 for k in range(1, count + 1)
    ]


def fewer(pairs: Pairs, count: int) -> Pairs:
    """So many of them, evenly; all if there are no more."""
    return tuple(pairs[place] for place in evenly(len(pairs), min(count, len(pairs))))


def projection(student: int, teacher: int) -> nn.Linear:
    """From one width to another, starting as the identity where they are the same.

    Else as 0: which of the teacher's channels a narrower stream has is not known, a
    rotated one has none of them, and a map by chance would pull the student about until
    it has learned.
    """
    layer = nn.Linear(student, teacher, bias=False)
    start = nn.init.eye_ if student == teacher else nn.init.zeros_
    start(layer.weight)
    return layer


def mean_counted(values_BN: Tensor, counts_BN: Tensor | None) -> Tensor:
    """The mean of each row over the tokens that count, (B,); 0 where none does."""
    if counts_BN is None:
        return values_BN.mean(dim=1)
    total_B = torch.where(counts_BN, values_BN, 0).sum(dim=1)
    return total_B / counts_BN.sum(dim=1).clamp(min=1)
