"""A tower's residual stream for some pairs, taken from block to block.

What rotates, ranks or solves a tower looks at one block at a time: the stream before it
is held, nothing of the blocks behind. A moment is of so many of its rows at most, which
are chosen by their number alone: the same rows in every run.

Legend: B pairs of a part, N tokens, D embed, F ffn units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.block import Block, scaled
from ..model.norm import Norm, RmsNorm
from ..model.text import TextTower
from ..model.vision import ImageTower
from ..shapes import ImageShape
from .moments import Moment

ROWS = 8  # rows that tell a moment, times its width; more are not looked at
LEAST = 16384  # ... but so many are, however narrow it is
GOLDEN = 2654435769  # 2³² over the golden ratio
ALL = 2**32
POOLED = 0.3  # of the weight of all tokens, where a regression is to serve the feature


class Pairs(Protocol):
    """Some pairs, as a loader gives them."""

    @property
    def pixels(self) -> Tensor: ...

    @property
    def tokens_BT(self) -> Tensor: ...


@dataclass(frozen=True)
class Some:
    """Pairs of which there may be fewer pictures than captions."""

    pixels: Tensor
    tokens_BT: Tensor


def normalised(norm: Norm | RmsNorm, x: Tensor) -> Tensor:
    """What a norm makes of the stream before its weight and bias."""
    if isinstance(norm, Norm):
        return F.layer_norm(x, x.shape[-1:], eps=norm.eps)
    mean = x.square().sum(-1, keepdim=True) / norm.full_width
    return x * torch.rsqrt(mean + norm.eps)


class Stream:
    """The residual stream of one tower for some pairs, in parts.

    Args:
        tower: whose stream it is; it is not changed.
        batches: the pairs, a part each.

    Raises:
        ValueError: there are no pairs.
    """

    @torch.no_grad()
    def __init__(self, tower: ImageTower | TextTower, batches: Iterable[Pairs]) -> None:
        like = next(tower.parameters())
        self.averaged = _averages(tower)
        self.parts: list[Tensor] = []
        self.counted: list[Tensor] = []  # (B, N): the tokens that are ever read
        self.pooled: list[Tensor] = []  # (B, N): those that become the feature
        for batch in batches:
            if isinstance(tower, TextTower):
                tokens_BT = shortened(tower, batch.tokens_BT.to(like.device))
                counted, pooled = _read_tokens(tower, tokens_BT)
                self.parts.append(tower.start(tokens_BT))
            else:
                self.parts.append(tower.start(batch.pixels.to(like)))
                counted, pooled = _read_patches(tower, self.parts[-1])
            self.counted.append(counted)
            self.pooled.append(pooled)
        if not self.parts:
            raise ValueError("there are no pairs to look at")

    @torch.no_grad()
    def look(self, norm: Norm | RmsNorm, last: bool = False) -> Moment:
        """The moment of what a norm makes of the stream, before its weight and bias.

        Args:
            last: the norm before the feature, which reads the pooled tokens only.
        """
        return self._moment(lambda x: normalised(norm, x), last)

    @torch.no_grad()
    def read(self, norm: Norm | RmsNorm) -> Moment:
        """The moment of what the layers behind a norm read."""
        return self._moment(lambda x: norm(x, None))

    @torch.no_grad()
    def beside(
        self,
        norm: Norm | RmsNorm,
        other: Stream,
        its_norm: Norm | RmsNorm,
        last: bool = False,
    ) -> Moment:
        """The moment of what is read of another stream of the same pairs and of this
        one, one after the other, (other's + own); tokens that become the feature hold
        the share `POOLED` of the weight."""
        width = other.parts[0].shape[-1] + self.parts[0].shape[-1]
        moment = Moment(width, device=self.parts[0].device)
        chosen = self._chosen(self._masks(last), width, feature=True)
        for place in range(len(self.parts)):
            at = place, chosen[place], last
            its_RD, own_RK = (
                its_norm(other._rows(*at), None),
                norm(self._rows(*at), None),
            )
            weights_R = None if last else self._weights(*at[:2])[chosen[place]]
            moment.add(torch.cat([its_RD, own_RK], dim=-1), weights_R)
        return moment

    def _rows(self, place: int, chosen_BN: Tensor, last: bool = False) -> Tensor:
        """What a norm reads of a part, (R, D): the tokens that are chosen, or the mean
        that is the feature; `last` as in `look`."""
        x_BND = self.parts[place]
        if not (last and self.averaged):
            return x_BND[chosen_BN]
        pooled_BN1 = self.pooled[place][..., None]
        return (x_BND * pooled_BN1).sum(1) / pooled_BN1.sum(1)

    def _weights(self, place: int, chosen_BN: Tensor) -> Tensor:
        """What each token of a part counts for, (B, N), 0 where it is not chosen: those
        that become the feature hold a share of their own. Every pair counts alike,
        whatever part or process it is in."""
        counted, pooled = (
            (masks[place] & chosen_BN).double() for masks in (self.counted, self.pooled)
        )
        # of a pair none may be chosen
        all_B1, own_B1 = (
            m.sum(1, keepdim=True).clamp(min=1) for m in (counted, pooled)
        )
        return (1 - POOLED) * counted / all_B1 + POOLED * pooled / own_B1

    def _masks(self, last: bool = False) -> list[Tensor]:
        return self.pooled if last else self.counted

    def _chosen(
        self, masks: Sequence[Tensor], width: int, feature: bool = False
    ) -> list[Tensor]:
        """Which of the tokens of a mask tell a moment, (B, N) a part: where they are
        more than are needed, an even choice.

        Multiples of an irrational number modulo 1 fill it evenly, and so do those of
        every n-th number (Weyl 1916): no token of a picture is preferred.

        Args:
            feature: take all tokens that become the feature, where those are few.
        """
        wanted = max(LEAST, ROWS * width)
        share = wanted / max(1, sum(int(mask.sum()) for mask in masks))
        if share >= 1:
            return list(masks)
        few = feature and sum(int(mask.sum()) for mask in self.pooled) <= wanted / 2
        chosen, seen = [], 0
        for mask_BN, pooled_BN in zip(masks, self.pooled, strict=True):
            number = torch.arange(seen, seen + mask_BN.numel(), device=mask_BN.device)
            seen += mask_BN.numel()
            chosen_BN = (number * GOLDEN % ALL < share * ALL).view_as(mask_BN)
            chosen.append(mask_BN & (chosen_BN | (pooled_BN & few)))
        return chosen

    def _moment(self, of: Callable[[Tensor], Tensor], last: bool = False) -> Moment:
        moment = Moment(self.parts[0].shape[-1], device=self.parts[0].device)
        chosen = self._chosen(self._masks(last), moment.width)
        for place, chosen_BN in enumerate(chosen):
            moment.add(of(self._rows(place, chosen_BN, last)))
        return moment

    @torch.no_grad()
    def power(self, centred: bool) -> Tensor:
        """The sum of |x|² over tokens, and their number, (2,).

        Args:
            centred: take the mean over channels away, which LayerNorm does not read.
        """
        total = torch.zeros(2, dtype=torch.float64)
        for x_BND, mask_BN in zip(self.parts, self.counted, strict=True):
            x_RD = x_BND[mask_BN]
            if centred:
                x_RD = x_RD - x_RD.mean(-1, keepdim=True)
            squares = float(x_RD.square().sum(dtype=torch.float64))
            total += torch.tensor([squares, len(x_RD)], dtype=torch.float64)
        return total

    @torch.no_grad()
    def attend(self, block: Block) -> Tensor:
        """Take the stream past attention; the sum over tokens of |update|², their
        number, and the sum of the updates, (2 + D,)."""
        attention, norm = block.attention, block.norm_1
        if attention is None or norm is None:
            return torch.zeros(2 + self.parts[0].shape[-1], dtype=torch.float64)
        return self._write(
            lambda x: scaled(attention(norm(x, None), None, {}), block.scale_1)
        )

    @torch.no_grad()
    def feed(self, block: Block) -> Tensor:
        """Take the stream past the FFN, as `attend`."""
        ffn, norm = block.ffn, block.norm_2
        if ffn is None or norm is None:
            return torch.zeros(2 + self.parts[0].shape[-1], dtype=torch.float64)
        return self._write(
            lambda x: scaled(ffn(norm(x, None), None, {}), block.scale_2)
        )

    def _write(self, update: Callable[[Tensor], Tensor]) -> Tensor:
        total_D = torch.zeros(self.parts[0].shape[-1], dtype=torch.float64)
        squares, count = 0.0, 0
        for place, x_BND in enumerate(self.parts):
            update_BND = update(x_BND)
            self.parts[place] = x_BND + update_BND
            rows_RD = update_BND[self.counted[place]]
            total_D += rows_RD.sum(0, dtype=torch.float64).cpu()
            squares += float(rows_RD.square().sum(dtype=torch.float64))
            count += len(rows_RD)
        # sums alone: those of processes add up, and spreads about means would not
        return torch.cat([total_D.new_tensor([squares, count]), total_D])

    @torch.no_grad()
    def hidden(self, block: Block) -> Moment:
        """The moment of an FFN's hidden units, tokens weighed as in `beside`."""
        assert block.ffn is not None and block.norm_2 is not None
        moment = Moment(block.ffn.units, device=self.parts[0].device)
        chosen = self._chosen(self.counted, moment.width, feature=True)
        for place, x_BND in enumerate(self.parts):
            weights_BN = self._weights(place, chosen[place])
            read_RD = block.norm_2(x_BND[weights_BN > 0], None)
            hidden_RF = block.ffn.activation(block.ffn.up(read_RD))
            moment.add(hidden_RF, weights_BN[weights_BN > 0])
        return moment


def shortened(tower: TextTower, tokens_BT: Tensor) -> Tensor:
    """Captions up to where the longest ends: in a causal tower nobody reads what stands
    behind."""
    if not tower.shape.causal:
        return tokens_BT
    return tokens_BT[:, : int(tower.end(tokens_BT).max()) + 1]


def _read_tokens(tower: TextTower, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Which tokens are read, and which is the feature. What stands after the feature
    of a causal tower is never seen."""
    place_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
    end_B1 = tower.end(tokens_BT)[:, None]
    pooled_BT = place_T == end_B1
    if tower.shape.causal:
        return place_T <= end_B1, pooled_BT
    return torch.ones_like(pooled_BT), pooled_BT


def _averages(tower: ImageTower | TextTower) -> bool:
    """Whether the last norm reads the mean of tokens, not each of them."""
    shape = tower.shape
    if not isinstance(shape, ImageShape):
        return False
    return shape.pool == "mean" and shape.norm_after_pool


def _read_patches(tower: ImageTower, x_BND: Tensor) -> tuple[Tensor, Tensor]:
    counted_BN = torch.ones(x_BND.shape[:2], dtype=torch.bool, device=x_BND.device)
    pooled_BN = counted_BN.clone()
    if tower.shape.pool == "class":
        pooled_BN[:, 1:] = False
    elif tower.shape.pool == "mean" and tower.shape.class_token:
        pooled_BN[:, 0] = False
    return counted_BN, pooled_BN
