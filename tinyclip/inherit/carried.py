"""What every unit carries, in one coin for all sites and both towers.

The coin is the error that a unit's going leaves in what norms read, as a share of it,
summed over all norms that read it. An update that lacks δ leaves |δ|² in every stream
behind it, the share |δ|²/|x|² of each. What the units that stay can tell of those that
go is taken off where `solve` will find it.

- embed: a direction holds a share of what every norm reads, beyond what those before
  it tell.
- dims: a dim carries a part of the scores and of the values (`dims.Factors`), both as
  parts of what the head writes, the values as attention averages them.
- ffn: the gain of a unit over those before it (`units.chosen_units`).

Legend: U units of a site, d dims, H heads, K channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..model.block import Block
from ..model.clip import Clip
from ..model.norm import Norm, RmsNorm
from ..shapes import BlockShape, TowerShape
from ..sites import DIMS, FILLING, FINEST, LAYERS, SITES, WIDTH
from .dims import Read
from .heads import turned_heads, writer
from .principal import told_apart
from .rotate import Reduce, alone
from .stream import Pairs, Stream
from .turn import Tower, last_norm
from .units import chosen_units

ATTENTION, FEED = LAYERS


@torch.no_grad()
def carried(
    model: Clip, batches: Iterable[Pairs], reduce: Reduce = alone
) -> dict[str, Tensor]:
    """What the units of every site carry, flat, by site name, as `score` gives it.

    In a rotated model closing the last of them is closing what matters least: the
    units of a layer's dims are the singular directions, those of embed the principal
    ones. In any other the figures of embed and dims are no choice that a slice makes.

    Args:
        model: left as it is.
        batches: real pairs, of this process.
        reduce: the sum of a tensor over all processes.

    Raises:
        ValueError: there are no pairs.
    """
    pairs = list(batches)
    scores: dict[str, Tensor] = {}
    for name, shape in model.shape.towers().items():
        tower: Tower = getattr(model, name)
        survey = _Survey(shape, reduce)
        survey.walk(tower, Stream(tower, pairs))
        scores |= {f"{name}_{site}": s for site, s in survey.scores().items()}
    return scores


@dataclass(frozen=True)
class _Layer:
    """What the units of a layer carry of what it writes, in the square of the stream's
    unit, and how many streams are read before it writes.

    Args:
        by_site: (U,) each; the whole layer's (1,).
    """

    by_site: dict[str, Tensor]
    before: int


@dataclass
class _Survey:
    """One pass over the blocks of a tower."""

    shape: TowerShape
    reduce: Reduce
    powers: list[float] = field(default_factory=list)  # |x|² of streams that are read
    layers: list[_Layer] = field(default_factory=list)
    held_K: Tensor | float = 0.0

    def walk(self, tower: Tower, stream: Stream) -> None:
        """See all of it."""
        for block, shape in zip(tower.blocks, self.shape.blocks, strict=True):
            assert isinstance(block, Block)
            self._attention(block, shape, stream)
            self._ffn(block, shape, stream)
        self._read(last_norm(tower), stream, last=True)

    def scores(self) -> dict[str, Tensor]:
        """What units carry, by site."""
        behind = [1 / max(power, 1e-30) for power in self.powers]
        by_site: dict[str, list[Tensor]] = {
            name: [] for name, site in SITES.items() if site.in_block
        }
        for layer in self.layers:
            weight = sum(behind[layer.before :])
            for site, carried_U in layer.by_site.items():
                by_site[site].append(carried_U * weight)
        none = torch.zeros(0, dtype=torch.float64)
        scores = {n: torch.cat([none, *rows]) for n, rows in by_site.items()}
        # a later one never carries more: the first directions are those that stay
        held_K = torch.as_tensor(self.held_K).cummin(0).values
        return {**scores, WIDTH.name: held_K}

    def _mean(self, sums: Tensor) -> float:
        total, count = self.reduce(sums).tolist()
        return float(total / max(1.0, count))

    def _spread(self, sums: Tensor) -> float:
        """The mean of |update − its mean|², of what `Stream.attend` gives."""
        squares, count, *total = self.reduce(sums).tolist()
        count = max(1.0, count)
        mean = sum((part / count) ** 2 for part in total)
        return max(0.0, float(squares / count - mean))

    def _read(self, norm: Norm | RmsNorm, stream: Stream, last: bool = False) -> None:
        """A norm reads the stream: what each direction holds of it."""
        second_KK = stream.look(norm, last).reduced(self.reduce).second
        held_K = told_apart(second_KK)
        self.held_K = self.held_K + held_K / second_KK.diagonal().sum().clamp(min=1e-30)
        self.powers.append(self._mean(stream.power(centred=not self.shape.rotated)))

    def _attention(self, block: Block, shape: BlockShape, stream: Stream) -> None:
        attention, norm = block.attention, block.norm_1
        if attention is None or norm is None:
            self._missing(shape, ATTENTION)
            return
        self._read(norm, stream)
        moment = stream.read(norm).reduced(self.reduce)
        read = Read.of(moment.covariance, moment.mean)
        heads = turned_heads(attention, read, 0, scale_W=block.scale_1)
        written = self._spread(stream.attend(block))
        values_Hd = heads.values_Hd.square()
        # attention averages over keys: a value's spread is not all written
        values_Hd = values_Hd * min(1.0, written / max(1e-30, float(values_Hd.sum())))
        # a wrong score moves weight between values, at most all of it
        scores_Hd = heads.scores_Hd.square() / self.shape.head_width
        moved_Hd = scores_Hd.clamp(max=1) * values_Hd.sum(1, keepdim=True)
        whole = values_Hd.new_tensor([written])
        by_site = {
            FILLING.name: values_Hd.sum(1),
            DIMS.name: (values_Hd + moved_Hd).sum(0),
            ATTENTION: whole,
        }
        self.layers.append(_Layer(by_site, len(self.powers)))

    def _missing(self, shape: BlockShape, layer: str) -> None:
        """Units that a shape may go on counting where a layer is not there."""
        none = {
            site.name: torch.zeros(getattr(shape, site.field), dtype=torch.float64)
            for site in SITES.values()
            if layer in (site.layer, site.name)
        }
        self.layers.append(_Layer(none, len(self.powers)))

    def _ffn(self, block: Block, shape: BlockShape, stream: Stream) -> None:
        ffn, norm = block.ffn, block.norm_2
        if ffn is None or norm is None:
            self._missing(shape, FEED)
            return
        self._read(norm, stream)
        moment = stream.hidden(block).reduced(self.reduce)
        down_DF = writer(ffn.down, block.scale_2).weight
        order, gains = chosen_units(moment.covariance, down_DF, ffn.units)
        # a later one never carries more: what it tells, the earlier ones did not
        carried_F = torch.empty_like(gains)
        carried_F[order] = gains.cummin(0).values if len(gains) else gains
        written = self._spread(stream.feed(block))
        by_site = {FINEST.name: carried_F, FEED: carried_F.new_tensor([written])}
        self.layers.append(_Layer(by_site, len(self.powers)))
