"""What a cut leaves, solved anew in closed form.

The width is cut first, which in a rotated tower drops the least directions. Then block
after block, the student's stream beside that of the model before the cut:

- what reads the stream is solved for what it read before (`readers`): directions that
  are gone are told by those that stay, and the drift of the student is made good;
- the heads keep their best so many dims (`dims`), what the others wrote on average goes
  into the output's bias;
- the FFN's way down is solved for all units, those that stay telling what they can of
  those that go (`units`);

and in the end the projection, like any reader.

Legend: D channels before, K after, F ffn units, M numbers read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..keep import ClipKeep, Keep, TowerKeep
from ..model.attention import Attention
from ..model.block import Block, Ffn
from ..model.clip import Clip
from ..model.norm import Norm, RmsNorm
from ..model.text import TextTower
from ..shapes import TowerShape
from ..sites import DIMS, FILLING, FINEST
from .heads import turned_heads
from .moments import Moment
from .readers import Reading
from .rotate import Reduce, alone
from .slicing import inherit, joint_keep
from .stream import Pairs, Stream
from .turn import Tower, last_norm
from .units import explained


@dataclass(frozen=True, kw_only=True)
class Ridges:
    """What each regression is held back by, as a share of the mean square or variance
    of what it tells from; None leaves that part as the cut made it.

    Args:
        units: of the way down.
        readers: of what reads the stream inside the blocks.
        projection: of what reads it in the end: few tokens tell it.
    """

    units: float = 1e-4
    readers: float | None = 1e-2
    projection: float | None = 1e-1


@dataclass(frozen=True)
class Solved:
    """A student whose layers were solved anew.

    Args:
        lost: by tower, what each FFN's output lost of its mean square, a block each.
    """

    model: Clip
    lost: Mapping[str, tuple[float, ...]]


@torch.no_grad()
def solve(
    model: Clip,
    keep: ClipKeep,
    batches: Iterable[Pairs],
    ridges: Ridges = Ridges(),
    reduce: Reduce = alone,
) -> Solved:
    """The student of a keep, its layers solved anew.

    The gates' values are left out: a gate has chosen, and what its units are worth is
    solved for. Of dims only their number counts, for the best so many are found anew.
    A tower of which nothing is cut stays as it is, bit for bit.

    Args:
        model: before the cut; left as it is.
        batches: real pairs, of this process.
        reduce: the sum of a tensor over all processes.

    Raises:
        ValueError: there are no pairs, or the keep is of another shape.
    """
    pairs = list(batches)
    keep = without_values(keep)
    narrow, shape = inherit(model, _narrow(keep)), keep.cut(model.shape)
    lost, joint = {}, joint_keep(keep, model.shape)
    for name, kept in keep.towers().items():
        if shape.towers()[name] == model.shape.towers()[name]:
            continue
        towers = getattr(model, name), getattr(narrow, name)
        solver = _TowerSolver(*towers, kept, pairs, ridges, reduce, joint)
        lost[name] = tuple(solver.solve())
    student = Clip(shape).to(model.logit_scale)
    student.load_state_dict(narrow.state_dict())
    return Solved(student.train(model.training), lost)


def without_values(keep: ClipKeep) -> ClipKeep:
    """The same units, all of them fully open."""

    def tower(kept: TowerKeep) -> TowerKeep:
        units = {
            key: tuple(replace(one, scale=None) for one in keeps)
            for key, keeps in kept.units.items()
        }
        return TowerKeep(units, kept.layers)

    return ClipKeep(image=tower(keep.image), text=tower(keep.text))


def _narrow(keep: ClipKeep) -> ClipKeep:
    """The keep without what is solved inside the blocks."""

    def tower(kept: TowerKeep) -> TowerKeep:
        inside = (DIMS.name, FINEST.name)
        units = {key: keeps for key, keeps in kept.units.items() if key not in inside}
        return TowerKeep(units, kept.layers)

    return ClipKeep(image=tower(keep.image), text=tower(keep.text))


class _TowerSolver:
    """Solves a narrow tower, in place, beside the tower that it was cut from.

    Args:
        joint: channels of the joint embedding that stay, where it is cut.
    """

    def __init__(
        self,
        full: Tower,
        narrow: Tower,
        kept: TowerKeep,
        pairs: list[Pairs],
        ridges: Ridges,
        reduce: Reduce,
        joint: Keep | None,
    ) -> None:
        self.joint = joint
        self.full, self.narrow, self.kept = full, narrow, kept
        self.shape: TowerShape = narrow.shape
        self.ridges, self.reduce = ridges, reduce
        # a tower whose width stays is read as before, but for the drift
        self.before, self.now = Stream(full, pairs), Stream(narrow, pairs)

    def solve(self) -> list[float]:
        """What each FFN's output lost of its mean square."""
        losses, place = [], 0
        for number, old in enumerate(self.full.blocks):
            assert isinstance(old, Block)
            if number in self.kept.layers.kept:
                new = self.narrow.blocks[place]
                assert isinstance(new, Block)
                self._attention(old, new, place)
                losses.append(self._ffn(old, new, place))
                place += 1
            else:
                self.before.attend(old)
                self.before.feed(old)
        self._last()
        return losses

    def _survivors(self, site: str, place: int) -> Keep | None:
        keeps = self.kept.units.get(site)
        return None if keeps is None else keeps[place]

    def _read(
        self,
        old: Norm | RmsNorm,
        new: Norm | RmsNorm,
        ridge: float | None,
        last: bool = False,
    ) -> Reading:
        """What two norms read, and how their readers are solved."""
        moment = self.now.beside(new, self.before, old, last).reduced(self.reduce)
        return Reading(moment, self.shape.width, ridge)

    def _attention(self, old: Block, new: Block, place: int) -> None:
        attention = new.attention
        if old.attention is not None and attention is not None:
            assert old.norm_1 is not None and new.norm_1 is not None
            reading = self._read(old.norm_1, new.norm_1, self.ridges.readers)
            rows = self._rows(old.attention, place)
            for name in ("q", "k", "v"):
                layer = getattr(old.attention, name)
                reading.solve(layer, getattr(attention, name), rows)
            dims = self._survivors(DIMS.name, place)
            if dims is not None and len(dims) < dims.total:
                heads = turned_heads(attention, reading.now(), len(dims))
                block = replace(self.shape.blocks[place], dims=len(dims))
                new.attention = Attention(self.shape, block, attention.causal)
                new.attention.to(attention.out.weight).load_state_dict(heads.named())
        self.before.attend(old)
        self.now.attend(new)

    def _rows(self, old: Attention, place: int) -> Tensor | None:
        """The numbers that the heads which stay read; None where all do."""
        heads = self._survivors(FILLING.name, place)
        if heads is None:
            return None
        rows_Hd = torch.arange(heads.total * old.dims).view(heads.total, old.dims)
        return rows_Hd[list(heads.kept)].flatten()

    def _ffn(self, old: Block, new: Block, place: int) -> float:
        lost, ffn = 0.0, new.ffn
        if old.ffn is not None and ffn is not None:
            assert old.norm_2 is not None and new.norm_2 is not None
            reading = self._read(old.norm_2, new.norm_2, self.ridges.readers)
            reading.solve(old.ffn.up, ffn.up)
            units = self._survivors(FINEST.name, place)
            if units is not None and len(units) < units.total:
                new.ffn, lost = self._explained(ffn, self.now.hidden(new), units)
        self.before.feed(old)
        self.now.feed(new)
        return lost

    def _explained(self, ffn: Ffn, hidden: Moment, units: Keep) -> tuple[Ffn, float]:
        """An FFN of the units that stay, and what its output lost."""
        moment = hidden.reduced(self.reduce)
        kept = torch.tensor(units.kept, dtype=torch.long).to(ffn.up.weight.device)
        told = explained(
            moment.second, ffn.down.weight, kept, self.ridges.units, moment.mean
        )
        small = Ffn(ffn.up.in_features, len(kept), self.shape.activation)
        small.to(ffn.up.weight).load_state_dict(
            {
                "up.weight": ffn.up.weight[kept],
                "up.bias": ffn.up.bias[kept],
                "down.weight": told.down_DK,
                "down.bias": ffn.down.bias.double() + told.bias_D,
            }
        )
        return small, told.left / max(told.whole, 1e-30)

    def _last(self) -> None:
        """What reads the stream behind the blocks."""
        old, new, ridge = self.full, self.narrow, self.ridges.projection
        if ridge is None:
            return
        reading = self._read(last_norm(old), last_norm(new), ridge, last=True)
        if not isinstance(old, TextTower) and old.pool is not None:
            for name in ("k", "v"):
                old_layer = getattr(old.pool.attention, name)
                reading.solve(old_layer, getattr(new.pool.attention, name))  # type: ignore[union-attr]
        elif old.projection_bias is not None and old.projection is not None:
            at = slice(None) if self.joint is None else list(self.joint.kept)
            weight, bias = reading.solved(
                old.projection.T[at],
                old.projection_bias[at],
                new.projection.T,  # type: ignore[union-attr]
            )
            new.projection.copy_(weight.T)  # type: ignore[union-attr]
            new.projection_bias.copy_(bias)  # type: ignore[union-attr]
