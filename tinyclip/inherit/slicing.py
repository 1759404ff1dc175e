"""The cut itself: which rows and columns of every parameter survive, and what folds in.

The table of sites says which rules which dimension of a parameter and whether the gate
value is multiplied in; here it is done, to weights and the optimiser's moments alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..axes import JOINT, Axes, Axis, axes_of
from ..keep import ClipKeep, Keep, TowerKeep
from ..model.clip import Clip
from ..shapes import TOWERS, BlockShape, ClipShape, TowerShape
from ..sites import LAYERS, SITES, WIDTH, Site, blocks_of, key_of

NAME = re.compile(rf"({'|'.join(TOWERS)})\.(?:(blocks\.\d+|pool)\.)?(.+)")


def inherit(model: Clip, keep: ClipKeep) -> Clip:
    """The student that the kept units make; the model is left as it is.

    Its features are those of the model under the keep's hardened gates (law 1).

    Raises:
        ValueError: the keep is of another shape.
    """
    student = Clip(keep.cut(model.shape)).to(model.logit_scale)
    sliced = slice_named(dict(model.named_parameters()), keep, model.shape)
    student.load_state_dict(sliced)
    return student.train(model.training)


@torch.no_grad()
def slice_named(
    named: Mapping[str, Tensor], keep: ClipKeep, shape: ClipShape, power: int = 1
) -> dict[str, Tensor]:
    """Slice tensors that are shaped like the parameters whose names they carry.

    Args:
        named: by canonical parameter name; parameters of dropped layers are left out of
            the result, and the layers that stay are numbered anew.
        power: of the gate values that are multiplied in. 1 for weights. A weight that
            grew by s has a gradient that shrank by s: −1 for Adam's first moment, −2
            for its second. 0 multiplies nothing.

    Returns:
        New tensors by the student's names, with the type and place of the old.

    Raises:
        ValueError: a name is unknown, or the keep is of another shape.
    """
    result = {}
    joint = joint_keep(keep, shape)
    for name, value in named.items():
        if name in ("logit_scale", "logit_bias"):
            result[name] = value.detach().clone()
            continue
        match = NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"no rule for parameter {name!r}")
        tower, place, inner = match.groups()
        try:
            axes = axes_of(shape.towers()[tower], place, inner)
        except KeyError:
            raise ValueError(f"no rule for parameter {name!r}") from None
        kept = Kept(keep.towers()[tower], shape.towers()[tower], place, joint)
        if kept.has(inner):
            start = ".".join(part for part in (tower, kept.place) if part)
            sliced = kept.slice(value.detach().clone(), axes, power)
            result[f"{start}.{inner}"] = kept.fold_layers(sliced, inner, power)
    return result


def joint_keep(keep: ClipKeep, shape: ClipShape) -> Keep | None:
    """The channels of the joint embedding that stay; None where none can be cut."""
    return keep.image.sole(WIDTH.name) if shape.image.joint_is_stream else None


class Kept:
    """What survives around one parameter.

    Args:
        keep, shape: of its tower.
        place: `blocks.3`, `pool`, or None outside the blocks.
        joint: channels of the joint embedding, where they are the image tower's.
    """

    def __init__(
        self, keep: TowerKeep, shape: TowerShape, place: str | None, joint: Keep | None
    ) -> None:
        self.keep, self.shape, self.joint = keep, shape, joint
        self.part, self.layer, self.place = "", 0, place
        self.there = True
        self.block: BlockShape | None = None
        if place is None:
            return
        part, _, number = place.partition(".")
        if not number:
            self.part = part
            (self.block,) = blocks_of(shape, part)
            return
        self.block = shape.blocks[int(number)]
        self.there = int(number) in keep.layers.kept
        if self.there:  # the layers that stay are numbered anew
            self.layer = keep.layers.kept.index(int(number))
            self.place = f"{part}.{self.layer}"

    def survivors(self, site: str) -> Keep | None:
        """The units that stay; None where all of them do."""
        if site == JOINT:
            return self.joint
        in_block = SITES[site].in_block
        keeps = self.keep.units.get(key_of(site, self.part if in_block else ""))
        return None if keeps is None else keeps[self.layer if in_block else 0]

    def layers(
        self, starts: Callable[[Site], tuple[str, ...]], inner: str
    ) -> list[Keep]:
        """The keeps of whole layers that rule a parameter."""
        if self.part or self.place is None:
            return []
        ruling = [name for name in LAYERS if inner.startswith(starts(SITES[name]))]
        return [keep for keep in map(self.survivors, ruling) if keep is not None]

    def has(self, inner: str) -> bool:
        """Whether the parameter is there at all."""
        return self.there and all(map(len, self.layers(lambda site: site.owns, inner)))

    def slice(self, value: Tensor, ruled: tuple[Axes, ...], power: int) -> Tensor:
        """The rows and columns that stay."""
        for dim, axes in enumerate(ruled):
            keeps = [None if a.site is None else self.survivors(a.site) for a in axes]
            if all(keep is None for keep in keeps):
                continue
            totals = [
                self._total(axis) if keep is None else keep.total
                for axis, keep in zip(axes, keeps, strict=True)
            ]
            if value.shape[dim] != math.prod(totals):
                raise ValueError("the keep does not fit the parameter's shape")
            value = value.unflatten(dim, totals)
            for place, (axis, keep) in enumerate(zip(axes, keeps, strict=True)):
                if keep is not None:
                    value = _slice(value, dim + place, keep, power if axis.fold else 0)
            value = value.flatten(dim, dim + len(axes) - 1)
        return value

    def _total(self, axis: Axis) -> int:
        """How many units a site has in this block, all of which stay."""
        assert self.block is not None and axis.site is not None
        return int(getattr(self.block, SITES[axis.site].field))

    def fold_layers(self, value: Tensor, inner: str, power: int) -> Tensor:
        """The gate values of whole layers, multiplied in."""
        for keep in self.layers(lambda site: site.joins, inner):
            if power and keep.scale is not None:
                value = value * float(keep.scale[0]) ** power
        return value


def _slice(value: Tensor, dim: int, site: Keep, power: int) -> Tensor:
    """One site of one parameter."""
    unit_U = torch.tensor(site.kept, dtype=torch.long, device=value.device)
    value = value.index_select(dim, unit_U)
    if not power or site.scale is None:
        return value
    scale = torch.tensor(site.scale, dtype=value.dtype, device=value.device)
    if power != 1:
        scale = scale.double().pow(power).to(value.dtype)
    along = [-1 if i == dim else 1 for i in range(value.ndim)]
    return value * scale.view(along)
