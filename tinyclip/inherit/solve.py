"""What a cut leaves, solved anew in closed form.

The width is cut first, which in a rotated tower drops the least directions. Then block
after block, on the student's own stream: the heads' best so many dims (`dims`), what
the others wrote on average going into the output's bias; and the FFN's way down, in
which the units that stay tell what they can of those that go (`units`).

Legend: F ffn units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from ..keep import ClipKeep, Keep, TowerKeep
from ..model.attention import Attention
from ..model.block import Block, Ffn
from ..model.clip import Clip
from ..shapes import TowerShape
from ..sites import DIMS, FINEST
from .dims import Read
from .heads import turned_heads
from .rotate import Reduce, alone
from .slicing import inherit
from .stream import Pairs, Stream
from .units import explained

RIDGE = 1e-4  # of a hidden unit's mean square


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
    ridge: float = RIDGE,
    reduce: Reduce = alone,
) -> Solved:
    """The student of a keep, its dims and ways down solved anew.

    The gates' values are left out: a gate has chosen, and what its units are worth is
    solved for. Of dims only their number counts, for the best so many are found anew.

    Args:
        model: before the cut; left as it is.
        batches: real pairs, of this process.
        ridge: as `units.explained` has it.
        reduce: the sum of a tensor over all processes.

    Raises:
        ValueError: there are no pairs, or the keep is of another shape.
    """
    pairs = list(batches)
    if not pairs:
        raise ValueError("no pairs to solve on")
    keep = without_values(keep)
    # what `inside` names is cut here, the rest before
    narrow = inherit(model, _narrow(keep))
    lost = {}
    for name, kept in keep.towers().items():
        tower = getattr(narrow, name)
        stream, shape = Stream(tower, pairs), narrow.shape.towers()[name]
        losses = []
        for number, block in enumerate(tower.blocks):
            solver = _BlockSolver(shape, kept, number, ridge, reduce)
            solver.attention(block, stream)
            losses.append(solver.ffn(block, stream))
        lost[name] = tuple(losses)
    student = Clip(keep.cut(model.shape)).to(model.logit_scale)
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


class _BlockSolver:
    """Solves one block of the narrow model, in place, and takes the stream past it."""

    def __init__(
        self,
        shape: TowerShape,
        kept: TowerKeep,
        number: int,
        ridge: float,
        reduce: Reduce,
    ) -> None:
        self.shape, self.block = shape, shape.blocks[number]
        self.kept, self.number = kept, number
        self.ridge, self.reduce = ridge, reduce

    def _survivors(self, site: str) -> Keep | None:
        keeps = self.kept.units.get(site)
        return None if keeps is None else keeps[self.number]

    def attention(self, block: Block, stream: Stream) -> None:
        """The best dims of what is read now."""
        dims = self._survivors(DIMS.name)
        attention = block.attention
        if attention is None or block.norm_1 is None:
            return
        if dims is not None and len(dims) < dims.total:
            moment = stream.read(block.norm_1).reduced(self.reduce)
            read = Read.of(moment.covariance, moment.mean)
            heads = turned_heads(attention, read, len(dims))
            block.attention = self._attention(attention, len(dims))
            block.attention.load_state_dict(heads.named())
        stream.attend(block)

    def ffn(self, block: Block, stream: Stream) -> float:
        """The ways down of the units that stay; what the output lost."""
        units, ffn = self._survivors(FINEST.name), block.ffn
        lost = 0.0
        if ffn is not None and units is not None and len(units) < units.total:
            moment = stream.hidden(block).reduced(self.reduce)
            kept = torch.tensor(units.kept, dtype=torch.long).to(ffn.up.weight.device)
            told = explained(
                moment.second, ffn.down.weight, kept, self.ridge, moment.mean
            )
            block.ffn = self._ffn(ffn, len(kept))
            block.ffn.load_state_dict(
                {
                    "up.weight": ffn.up.weight[kept],
                    "up.bias": ffn.up.bias[kept],
                    "down.weight": told.down_DK,
                    "down.bias": ffn.down.bias.double() + told.bias_D,
                }
            )
            lost = told.left / max(told.whole, 1e-30)
        stream.feed(block)
        return lost

    def _attention(self, old: Attention, dims: int) -> Attention:
        block = replace(self.block, dims=dims)
        return Attention(self.shape, block, old.causal).to(old.out.weight)

    def _ffn(self, old: Ffn, units: int) -> Ffn:
        width = old.up.in_features
        return Ffn(width, units, self.shape.activation).to(old.up.weight)
